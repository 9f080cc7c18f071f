# The service as one executable, on what it needs of Debian and nothing else. The data is in /data: give it a volume.
FROM oven/bun:1.4.5-debian AS build
WORKDIR /build
COPY package.json bun.lock ./
RUN bun install --frozen-lockfile --production
COPY *.ts ./
COPY db db
COPY extension extension
RUN bun build.ts executable

# That is the C library, and the four programs that the entry point calls.
FROM debian:12.12-slim AS parts
COPY --from=build /build/dist/extextcloud /usr/local/bin/extextcloud
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin extextcloud && mkdir /parts && \
    ldd $(which sh chown id setpriv extextcloud) | grep -o '/[^ :]*' | sort -u | \
      xargs cp --parents --dereference -t /parts /etc/passwd /etc/group /etc/nsswitch.conf /etc/os-release && \
    ln -s usr/bin /parts/bin && install -d -m 1777 /parts/tmp && install -d -o extextcloud -m 0700 /parts/data

FROM scratch
COPY --from=parts /parts /
ENV PATH=/usr/local/bin:/usr/bin:/bin DATABASE_URL=/data/extextcloud.db PORT=3000
VOLUME /data
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s CMD ["extextcloud", "health"]
# Some hosts hand the volume over as root's: it is given to the user, and root is left behind for good.
ENTRYPOINT ["/bin/sh", "-c", "[ \"$(id -u)\" != 0 ] || { chown -R extextcloud /data && set -- setpriv --reuid=extextcloud --regid=extextcloud --clear-groups --no-new-privs --bounding-set=-all \"$@\"; }; exec \"$@\"", "sh", "extextcloud"]
