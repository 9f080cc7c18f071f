/** The page `/privacy`: what this server keeps, for how long, and who can see it, by its own settings, in every language. */
import type { Settings } from './settings.ts'

/** What the sentences say of this server, in words of their language. */
interface Facts {
  /** How long a text lives when its writer does not say, and at most. */
  usual: string
  longest: string
  /** How long a returned code is not lent again. */
  rest: string
  /** Who runs it, as HTML. */
  operator: string
}

/** Headings with their paragraphs, as HTML. */
type Sections = (facts: Facts) => Record<string, string[]>

const LANGUAGES: Record<string, { name: string; title: string; nobody: string; sections: Sections }> = {
  en: {
    name: 'English',
    title: 'Privacy',
    nobody: 'Whoever set up this server has not said who they are.',
    sections: ({ usual, longest, rest, operator }) => ({
      'What is kept, and for how long': [
        `The text that you write, until its time is up (${usual} unless you choose otherwise, at most ${longest}), until you erase it, or until it is read where it may be read only once. From that moment nobody can load it, and within minutes its bytes are cleared from the database.`,
        `Beside it: the times of writing, expiry and the last load, how often it was loaded, whether it may be read once, a hash of the password (Argon2id) and of the token that lets you erase it, and a number that many networks share, by which no network can fill the server. The four letters are not lent again for ${rest}.`,
        'Of a text that was taken or erased, a hash of its token and its times stay until it would have expired, so that its writer can ask what became of it. By whom it was loaded is never kept. Letters that wait for a text wait ten minutes; what is written to them is deleted as soon as it has arrived.',
        'Your network address is counted in memory or in the database, to keep out floods and guessers, for a day at the most.',
      ],
      'Who can see it': [
        'Everyone who has the four letters, and the password where there is one. Four letters can be guessed by who tries very many: protect by a password whatever matters.',
        'Whoever runs this server could read the texts in its database, and in its backups for as long as those are kept, unless they are sealed. A text that you write with a password on this page over HTTPS, or in the extension, is sealed in your browser, and only its password opens it. That does not help against a password that can be guessed, nor against a server that sends a changed page, nor against who reads along at either screen.',
        'A text that is written to letters that wait is given to the waiting browser alone, and sealed to its key without any password. A server that lies could hand out a key of its own and read along; both sides show two words made from the key, for those who want to compare. What curl or a page on plain http writes or receives is not sealed.',
        'Nobody else: no text or address is sold, given to others, used for advertising or analysed. There are no cookies, no trackers, and no requests to third parties.',
      ],
      'What is logged': [
        'For each request its time, route, outcome and duration, and the network of the client (the first three numbers of an IPv4 address, the first three groups of an IPv6 address). Never a text, a code, a password or a whole address.',
      ],
      'What stays in your browser': [
        'The list of codes that you wrote, until they expire, with what is needed to erase them; your choices, such as the language; and in the extension what you typed and did not send, until the browser closes; and while you wait for a text, the code and its key. Nothing of a private window. A password is never kept.',
        'The extension reads a page only when you choose one of its commands there: the selection that you send, or the field that you fill. The use of information by the extension adheres to the Chrome Web Store User Data Policy, including the Limited Use requirements.',
      ],
      'Whom to ask': [operator],
    }),
  },
  ko: {
    name: '한국어',
    title: '개인정보 처리',
    nobody: '이 서버를 운영하는 사람이 자신을 밝히지 않았습니다.',
    sections: ({ usual, longest, rest, operator }) => ({
      '무엇을 얼마나 보관하나요': [
        `작성한 글은 기한이 될 때까지(따로 고르지 않으면 ${usual}, 최대 ${longest}), 직접 지울 때까지, 또는 한 번만 읽을 수 있는 글이면 읽힐 때까지 보관합니다. 그 뒤로는 아무도 불러올 수 없고, 몇 분 안에 데이터베이스에서도 지워집니다.`,
        `함께 보관하는 것: 작성 시각, 만료 시각, 마지막으로 읽힌 시각, 읽힌 횟수, 한 번만 읽을 수 있는지, 비밀번호의 해시(Argon2id)와 지우기용 토큰의 해시, 그리고 한 네트워크가 서버를 가득 채우지 못하게 하는 번호(여러 네트워크가 같은 번호를 씁니다). 쓰고 난 네 글자는 ${rest} 동안 다시 쓰이지 않습니다.`,
        '이미 읽혔거나 지워진 글은, 쓴 사람이 어떻게 되었는지 물어볼 수 있도록 토큰의 해시와 시각만 원래 기한까지 남습니다. 누가 읽었는지는 보관하지 않습니다. 글을 기다리는 네 글자는 10분 동안 유효하고, 그리로 보낸 글은 도착하는 대로 지워집니다.',
        '과도한 요청과 코드 추측을 막기 위해 네트워크 주소별 횟수를 메모리나 데이터베이스에 최대 하루 동안 셉니다.',
      ],
      '누가 볼 수 있나요': [
        '네 글자를 아는 사람, 비밀번호가 있으면 그것까지 아는 사람입니다. 아주 많이 시도하면 네 글자는 추측될 수 있으니, 중요한 글에는 비밀번호를 거세요.',
        '이 서버를 운영하는 사람은 데이터베이스와, 보관하는 동안의 백업에서 봉인되지 않은 글을 읽을 수 있습니다. HTTPS로 연 이 페이지나 확장 프로그램에서 비밀번호를 걸어 쓴 글은 브라우저에서 봉인되며, 그 비밀번호로만 열립니다. 추측할 수 있는 비밀번호나, 서버가 바꾼 페이지를 보내는 일, 어느 쪽 화면이든 곁에서 들여다보는 일은 봉인으로 막을 수 없습니다.',
        '기다리는 네 글자로 보낸 글은 기다리는 브라우저에만 전달되며, 비밀번호 없이 그 브라우저의 열쇠로 봉인됩니다. 거짓말하는 서버는 자기 열쇠를 대신 내주고 읽을 수 있습니다. 비교하고 싶은 사람을 위해 양쪽에 열쇠로 만든 두 단어가 보입니다. curl이나 HTTPS가 아닌 페이지로 보내거나 받는 글은 봉인되지 않습니다.',
        '그 밖에는 아무도 볼 수 없습니다. 글이나 주소를 팔거나 넘기거나 광고에 쓰거나 분석하지 않습니다. 쿠키도 추적기도 제3자에게 보내는 요청도 없습니다.',
      ],
      '무엇을 기록하나요': [
        '요청마다 시각, 경로, 결과, 걸린 시간, 그리고 네트워크(IPv4 주소의 앞 세 숫자, IPv6 주소의 앞 세 묶음)를 기록합니다. 글, 코드, 비밀번호, 전체 주소는 기록하지 않습니다.',
      ],
      '브라우저에 남는 것': [
        '작성한 코드의 목록과 지우는 데 필요한 정보(만료될 때까지), 언어 같은 선택, 그리고 확장 프로그램에서는 입력하고 보내지 않은 글(브라우저를 닫을 때까지), 글을 기다리는 동안에는 그 코드와 열쇠가 남습니다. 시크릿 창의 것은 남지 않습니다. 비밀번호는 저장하지 않습니다.',
        '확장 프로그램은 사용자가 명령을 고른 페이지에서만, 보내는 선택 영역이나 채우는 입력란만 읽습니다. 확장 프로그램의 정보 사용은 제한적 사용 요건을 포함한 Chrome 웹 스토어 사용자 데이터 정책을 따릅니다.',
      ],
      문의: [operator],
    }),
  },
  ja: {
    name: '日本語',
    title: 'プライバシー',
    nobody: 'このサーバーの運営者は名乗っていません。',
    sections: ({ usual, longest, rest, operator }) => ({
      何をどれだけ保存するか: [
        `書いたテキストは、期限まで（選ばなければ${usual}、最長${longest}）、自分で消すまで、または一度だけ読めるテキストなら読まれるまで保存します。その後は誰も読み込めず、数分のうちにデータベースからも消去されます。`,
        `あわせて保存するもの：作成日時、期限、最後に読まれた日時と読まれた回数、一度だけ読めるかどうか、パスワードのハッシュ（Argon2id）と消去用トークンのハッシュ、そして一つのネットワークがサーバーを埋め尽くさないための番号（多くのネットワークが同じ番号になります）。使い終わった四文字は${rest}のあいだ再び貸し出されません。`,
        '読み取られた、または消されたテキストについては、書いた人がどうなったかを確かめられるよう、トークンのハッシュと日時だけが本来の期限まで残ります。誰が読んだかは保存しません。テキストを待つ四文字は10分間有効で、そこに書かれたものは届きしだい消去されます。',
        '大量のリクエストやコードの推測を防ぐため、ネットワークアドレスごとの回数をメモリまたはデータベースで最長一日数えます。',
      ],
      誰が見られるか: [
        '四文字を知っている人、パスワードがあればそれも知っている人です。四文字は何度も試せば当てられることがあります。大切なものにはパスワードを付けてください。',
        'このサーバーの運営者は、データベースと、保管しているあいだのバックアップの中の、封印されていないテキストを読むことができます。HTTPS で開いたこのページか拡張機能でパスワードを付けて書いたテキストは、ブラウザーの中で封印され、そのパスワードだけで開きます。推測できるパスワードや、改ざんされたページを送るサーバー、どちらかの画面をのぞき見る人に対しては、封印は役に立ちません。',
        '待っている四文字に書いたテキストは、待っているブラウザーだけに渡され、パスワードなしでその鍵に封印されます。嘘をつくサーバーは自分の鍵を渡して読むことができます。比べたい人のために、鍵から作った二つの語が両側に表示されます。curl や HTTPS でないページで書いたり受け取ったりするものは封印されません。',
        'ほかの誰も見られません。テキストやアドレスを売ったり、渡したり、広告に使ったり、分析したりしません。クッキーも追跡も、第三者へのリクエストもありません。',
      ],
      何を記録するか: [
        'リクエストごとに、時刻、経路、結果、所要時間、ネットワーク（IPv4 アドレスの先頭三つの数字、IPv6 アドレスの先頭三つの組）を記録します。テキスト、コード、パスワード、アドレス全体は記録しません。',
      ],
      ブラウザーに残るもの: [
        '書いたコードの一覧と消去に必要な情報（期限まで）、言語などの選択、拡張機能では入力して送らなかったテキスト（ブラウザーを閉じるまで）、テキストを待つあいだはそのコードと鍵が残ります。プライベートウィンドウのものは残りません。パスワードは保存しません。',
        '拡張機能は、コマンドを選んだページで、送る選択範囲または入力する欄だけを読みます。拡張機能による情報の利用は、限定的使用の要件を含む Chrome ウェブストアのユーザーデータポリシーに従います。',
      ],
      問い合わせ先: [operator],
    }),
  },
  'zh-CN': {
    name: '简体中文',
    title: '隐私',
    nobody: '这台服务器的运营者没有说明自己是谁。',
    sections: ({ usual, longest, rest, operator }) => ({
      '保存什么，保存多久': [
        `您写的文本会保存到期限为止（不另选则为${usual}，最长${longest}），或到您删除为止；只能读一次的文本保存到被读取为止。此后任何人都无法再读取，几分钟内其内容也会从数据库中清除。`,
        `同时保存：写入、到期和最后一次读取的时间、读取次数、是否只能读一次、密码的哈希（Argon2id）和删除令牌的哈希，以及一个防止单个网络占满服务器的编号（许多网络共用同一编号）。用过的四个字母在${rest}内不会再次借出。`,
        '已被取走或删除的文本，只保留令牌的哈希和时间，直到原定期限，以便写的人询问它的去向。由谁读取从不保存。等待文本的四个字母有效十分钟，写给它的内容送达后即被删除。',
        '为防止过量请求和猜测代码，会在内存或数据库中按网络地址计数，最长一天。',
      ],
      谁能看到: [
        '知道四个字母的人；设有密码时，还要知道密码。四个字母经大量尝试可能被猜中，重要内容请设置密码。',
        '这台服务器的运营者可以读取数据库中未加封的文本，以及保留期间备份中的未加封文本。在通过 HTTPS 打开的本页面或扩展中设了密码的文本会在您的浏览器中加封，只有该密码能打开。加封防不住可被猜中的密码，也防不住服务器发送被改动的页面，或有人在任一屏幕旁偷看。',
        '写给等待中字母的文本只交给等待的浏览器，并且无需密码即按它的密钥加封。说谎的服务器可以给出自己的密钥并偷读；两边都会显示由密钥得出的两个词，供想核对的人比较。用 curl 或未经 HTTPS 的页面写入或接收的内容不会加封。',
        '除此之外没有人能看到。文本和地址不会被出售、转交、用于广告或分析。没有 Cookie，没有跟踪器，也没有发往第三方的请求。',
      ],
      记录什么: [
        '每次请求的时间、路径、结果、耗时，以及客户端所在网络（IPv4 地址的前三个数字，IPv6 地址的前三组）。绝不记录文本、代码、密码或完整地址。',
      ],
      留在浏览器中的内容: [
        '您写过的代码列表及删除所需的信息（直到过期）、语言等选择；在扩展中还有输入但未发送的文本（直到浏览器关闭）；等待文本期间还有其代码和密钥。无痕窗口中的内容不会留下。密码从不保存。',
        '扩展只在您选择其命令的页面上读取您要发送的选区或要填写的输入框。扩展对信息的使用遵守 Chrome 网上应用店用户数据政策，包括“有限使用”要求。',
      ],
      联系谁: [operator],
    }),
  },
}

const UNITS = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
] as const

/** Seconds in the largest unit that they are whole in. */
function duration(seconds: number, language: string): string {
  const [unit, length] = UNITS.find(([, length]) => seconds % length === 0) ?? ['second', 1]
  return new Intl.NumberFormat(language, { style: 'unit', unit, unitDisplay: 'long' }).format(seconds / length)
}

/** The language that the reader asks for by `?language=`, else the first of the browser's that there is. */
export function languageOf(asked: string | undefined, accepted: string | null): string {
  const known = Object.keys(LANGUAGES)
  const wanted = [asked ?? '', ...(accepted ?? '').split(',').map((entry) => entry.split(';')[0] ?? '')]
  const primary = (tag: string) => tag.trim().slice(0, 2).toLowerCase()
  return wanted.map((tag) => known.find((one) => primary(one) === primary(tag))).find(Boolean) ?? 'en'
}

/** The page as HTML, with the page's own style. */
export function privacyPage(language: string, settings: Settings, stylesheet: string): string {
  const { DEFAULT_EXPIRY_SECONDS, MAX_EXPIRY_SECONDS, CODE_REST_SECONDS, OPERATOR_NAME, OPERATOR_URL } = settings
  const { title, nobody, sections } = LANGUAGES[language] as (typeof LANGUAGES)[string]
  const name = Bun.escapeHTML(OPERATOR_NAME ?? OPERATOR_URL ?? '')
  const operator = OPERATOR_URL
    ? `<a href="${Bun.escapeHTML(OPERATOR_URL)}" rel="noopener noreferrer">${name}</a>`
    : name || nobody
  const facts = {
    usual: duration(DEFAULT_EXPIRY_SECONDS, language),
    longest: duration(MAX_EXPIRY_SECONDS, language),
    rest: duration(CODE_REST_SECONDS, language),
    operator,
  }
  const languages = Object.entries(LANGUAGES).map(([tag, { name }]) =>
    tag === language ? `<b>${name}</b>` : `<a href="?language=${tag}" hreflang="${tag}" lang="${tag}">${name}</a>`,
  )
  const told = Object.entries(sections(facts)).map(
    ([heading, paragraphs]) => `<h2>${heading}</h2>\n${paragraphs.map((text) => `<p>${text}</p>`).join('\n')}`,
  )
  return `<!doctype html>
<html lang="${language}" data-ready>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} · extextcloud</title>
<link rel="icon" href="favicon.ico">
<link rel="stylesheet" href="${stylesheet}">
</head>
<body class="prose">
<header><p class="wordmark"><a href="./">extextcloud</a></p><p>${languages.join(' · ')}</p></header>
<main>
<h1>${title}</h1>
${told.join('\n')}
</main>
</body>
</html>
`
}
