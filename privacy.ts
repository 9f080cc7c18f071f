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

/** In the words that the Chrome Web Store wants. */
const LIMITED_USE =
  'The use of information received from Google APIs will adhere to the <a href="https://developer.chrome.com/docs/webstore/program-policies/limited-use" rel="noopener noreferrer">Chrome Web Store User Data Policy, including the Limited Use requirements</a>.'

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
        `Beside it: the times of writing and expiry, whether it may be read once, a hash of the password (Argon2id) and of the token that lets you erase it, and a number that many networks share, by which no network can fill the server. The four letters are not lent again for ${rest}.`,
        'So that its writer can see what became of a text: how often it was loaded, and when last, never by whom. Of a text that was read once or erased, the hash of that token and the times are kept until it would have expired. Four letters that wait for a text are kept for ten minutes, with a hash of the token of whoever waits.',
        'Your network address is counted in memory or in the database, to keep out floods and guessers, for a day at the most.',
      ],
      'Who can see it': [
        'Everyone who has the four letters, and the password where there is one; a text that was written to four letters that wait, only whoever waits. Four letters can be guessed by who tries very many: protect by a password whatever matters.',
        'Whoever runs this server could read the texts in its database, and in its backups for as long as those are kept, unless they are sealed. A text that you write with a password on this page over HTTPS, or in the extension, is sealed in your browser, and only its password opens it. That does not help against a password that can be guessed, nor against a server that sends a changed page, nor against who reads along at either screen.',
        'Nobody else: no text or address is sold, given to others, used for advertising or analysed. There are no cookies, no trackers, and no requests to third parties.',
      ],
      'What is logged': [
        'For each request its time, route, outcome and duration, and the network of the client (the first three numbers of an IPv4 address, the first three groups of an IPv6 address). Never a text, a code, a password or a whole address.',
      ],
      'What stays in your browser': [
        'The list of codes that you wrote, until they expire, with what is needed to erase them; your choices, such as the language; and in the extension what you typed and did not send and what you loaded last, until the browser closes. Nothing of a private window. A password is never kept.',
      ],
      'The browser extension': [
        'It has one purpose: to carry a text to another computer by four letters. It looks at a page only from the moment when you press its button or choose its entry in the menu there, and then only at the selection that you send, or the field that you fill.',
        'To this server, or the one that its options name, it sends the text that you write, with its time and whether it can be read once; the codes that you load, erase or ask after; the password of a text that is not sealed; and a write key, where the server wants one. Nothing else leaves the browser: no address of a page, no history, nothing that tells you from others.',
        'What it sends is used for that purpose and for no other. It is not sold, not handed to third parties, and used neither for advertising nor to judge anybody’s creditworthiness. Nobody reads it but those whom you give the letters, unless the law or the complaint of somebody whom a text harms demands it. You take it back by erasing the text; removing the extension removes all that it keeps.',
        LIMITED_USE,
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
        `함께 보관하는 것: 작성 시각과 만료 시각, 한 번만 읽을 수 있는지, 비밀번호의 해시(Argon2id)와 지우기용 토큰의 해시, 그리고 한 네트워크가 서버를 가득 채우지 못하게 하는 번호(여러 네트워크가 같은 번호를 씁니다). 쓰고 난 네 글자는 ${rest} 동안 다시 쓰이지 않습니다.`,
        '글이 어떻게 되었는지 쓴 사람이 알 수 있도록, 몇 번 불러왔고 마지막이 언제였는지를 보관합니다. 누가 불러왔는지는 보관하지 않습니다. 한 번 읽혔거나 지운 글은 그 토큰의 해시와 시각만 원래의 기한까지 남습니다. 글을 기다리는 네 글자는 기다리는 쪽 토큰의 해시와 함께 10분 동안 보관합니다.',
        '과도한 요청과 코드 추측을 막기 위해 네트워크 주소별 횟수를 메모리나 데이터베이스에 최대 하루 동안 셉니다.',
      ],
      '누가 볼 수 있나요': [
        '네 글자를 아는 사람, 비밀번호가 있으면 그것까지 아는 사람입니다. 기다리는 네 글자에 쓴 글은 기다리는 사람만 봅니다. 아주 많이 시도하면 네 글자는 추측될 수 있으니, 중요한 글에는 비밀번호를 거세요.',
        '이 서버를 운영하는 사람은 데이터베이스와, 보관하는 동안의 백업에서 봉인되지 않은 글을 읽을 수 있습니다. HTTPS로 연 이 페이지나 확장 프로그램에서 비밀번호를 걸어 쓴 글은 브라우저에서 봉인되며, 그 비밀번호로만 열립니다. 추측할 수 있는 비밀번호나, 서버가 바꾼 페이지를 보내는 일, 어느 쪽 화면이든 곁에서 들여다보는 일은 봉인으로 막을 수 없습니다.',
        '그 밖에는 아무도 볼 수 없습니다. 글이나 주소를 팔거나 넘기거나 광고에 쓰거나 분석하지 않습니다. 쿠키도 추적기도 제3자에게 보내는 요청도 없습니다.',
      ],
      '무엇을 기록하나요': [
        '요청마다 시각, 경로, 결과, 걸린 시간, 그리고 네트워크(IPv4 주소의 앞 세 숫자, IPv6 주소의 앞 세 묶음)를 기록합니다. 글, 코드, 비밀번호, 전체 주소는 기록하지 않습니다.',
      ],
      '브라우저에 남는 것': [
        '작성한 코드의 목록과 지우는 데 필요한 정보(만료될 때까지), 언어 같은 선택, 그리고 확장 프로그램에서는 입력하고 보내지 않은 글과 마지막으로 불러온 글(브라우저를 닫을 때까지)이 남습니다. 시크릿 창의 것은 남지 않습니다. 비밀번호는 저장하지 않습니다.',
      ],
      '브라우저 확장 프로그램': [
        '목적은 하나입니다. 네 글자로 글을 다른 컴퓨터에 옮기는 것입니다. 사용자가 버튼을 누르거나 메뉴에서 명령을 고른 순간부터 그 페이지만 보며, 그때도 보내는 선택 영역이나 채우는 입력란만 읽습니다.',
        '이 서버 또는 설정에서 지정한 서버로 보내는 것은 작성한 글과 그 보관 기간 및 한 번만 읽기 여부, 불러오거나 지우거나 확인하는 코드, 봉인되지 않은 글의 비밀번호, 그리고 서버가 요구하는 경우 쓰기 키입니다. 그 밖에는 아무것도 브라우저를 떠나지 않습니다. 페이지 주소도, 방문 기록도, 사용자를 식별하는 것도 보내지 않습니다.',
        '보낸 것은 그 목적으로만 씁니다. 팔거나 제3자에게 넘기지 않으며, 광고에도 신용도 판단에도 쓰지 않습니다. 법이 요구하거나 글 때문에 피해를 입은 사람이 신고한 경우가 아니면, 네 글자를 받은 사람 말고는 아무도 읽지 않습니다. 글을 지우면 보낸 것을 거두어들일 수 있고, 확장 프로그램을 제거하면 그것이 보관하던 것도 모두 사라집니다.',
        `Chrome 웹 스토어가 정한 문장(제한적 사용): <span lang="en">${LIMITED_USE}</span>`,
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
        `あわせて保存するもの：作成日時と期限、一度だけ読めるかどうか、パスワードのハッシュ（Argon2id）と消去用トークンのハッシュ、そして一つのネットワークがサーバーを埋め尽くさないための番号（多くのネットワークが同じ番号になります）。使い終わった四文字は${rest}のあいだ再び貸し出されません。`,
        'テキストがどうなったかを書いた人が確かめられるように、読み込まれた回数と最後の日時を保存します。誰が読み込んだかは保存しません。一度読まれたテキストや消したテキストについては、そのトークンのハッシュと日時だけが本来の期限まで残ります。テキストを待つ四文字は、待っている側のトークンのハッシュとともに十分間保存します。',
        '大量のリクエストやコードの推測を防ぐため、ネットワークアドレスごとの回数をメモリまたはデータベースで最長一日数えます。',
      ],
      誰が見られるか: [
        '四文字を知っている人、パスワードがあればそれも知っている人です。待っている四文字に書いたテキストは、待っている人だけが見られます。四文字は何度も試せば当てられることがあります。大切なものにはパスワードを付けてください。',
        'このサーバーの運営者は、データベースと、保管しているあいだのバックアップの中の、封印されていないテキストを読むことができます。HTTPS で開いたこのページか拡張機能でパスワードを付けて書いたテキストは、ブラウザーの中で封印され、そのパスワードだけで開きます。推測できるパスワードや、改ざんされたページを送るサーバー、どちらかの画面をのぞき見る人に対しては、封印は役に立ちません。',
        'ほかの誰も見られません。テキストやアドレスを売ったり、渡したり、広告に使ったり、分析したりしません。クッキーも追跡も、第三者へのリクエストもありません。',
      ],
      何を記録するか: [
        'リクエストごとに、時刻、経路、結果、所要時間、ネットワーク（IPv4 アドレスの先頭三つの数字、IPv6 アドレスの先頭三つの組）を記録します。テキスト、コード、パスワード、アドレス全体は記録しません。',
      ],
      ブラウザーに残るもの: [
        '書いたコードの一覧と消去に必要な情報（期限まで）、言語などの選択、拡張機能では入力して送らなかったテキストと最後に読み込んだテキスト（ブラウザーを閉じるまで）が残ります。プライベートウィンドウのものは残りません。パスワードは保存しません。',
      ],
      ブラウザーの拡張機能: [
        '目的は一つ、四文字でテキストを別のコンピューターへ運ぶことです。ボタンを押すかメニューのコマンドを選んだ時点からそのページだけを見て、そのときも送る選択範囲または入力する欄だけを読みます。',
        'このサーバー、または設定で指定したサーバーへ送るのは、書いたテキストとその期限、一度だけ読めるかどうか、読み込み、消し、確かめるコード、封印されていないテキストのパスワード、そしてサーバーが求める場合の書き込みキーです。ほかには何もブラウザーの外へ出ません。ページのアドレスも、履歴も、あなたを見分けるものも送りません。',
        '送ったものはその目的だけに使います。売ることも第三者に渡すこともなく、広告にも信用力の判断にも使いません。法律が求める場合や、テキストで被害を受けた人の申し立てがある場合を除き、四文字を渡した相手のほかは誰も読みません。テキストを消せば取り消せます。拡張機能を削除すれば、保存していたものもすべて消えます。',
        `Chrome ウェブストアが定める文（限定的使用）：<span lang="en">${LIMITED_USE}</span>`,
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
        `同时保存：写入和到期的时间、是否只能读一次、密码的哈希（Argon2id）和删除令牌的哈希，以及一个防止单个网络占满服务器的编号（许多网络共用同一编号）。用过的四个字母在${rest}内不会再次借出。`,
        '为了让写的人知道文本的下落，会保存它被读取的次数和最近一次的时间，绝不保存由谁读取。对于读过一次即删或已删除的文本，只把该令牌的哈希和时间保留到它原本的期限。等待文本的四个字母连同等待一方令牌的哈希保存十分钟。',
        '为防止过量请求和猜测代码，会在内存或数据库中按网络地址计数，最长一天。',
      ],
      谁能看到: [
        '知道四个字母的人；设有密码时，还要知道密码。写给正在等待的四个字母的文本，只有等待的人能看到。四个字母经大量尝试可能被猜中，重要内容请设置密码。',
        '这台服务器的运营者可以读取数据库中未加封的文本，以及保留期间备份中的未加封文本。在通过 HTTPS 打开的本页面或扩展中设了密码的文本会在您的浏览器中加封，只有该密码能打开。加封防不住可被猜中的密码，也防不住服务器发送被改动的页面，或有人在任一屏幕旁偷看。',
        '除此之外没有人能看到。文本和地址不会被出售、转交、用于广告或分析。没有 Cookie，没有跟踪器，也没有发往第三方的请求。',
      ],
      记录什么: [
        '每次请求的时间、路径、结果、耗时，以及客户端所在网络（IPv4 地址的前三个数字，IPv6 地址的前三组）。绝不记录文本、代码、密码或完整地址。',
      ],
      留在浏览器中的内容: [
        '您写过的代码列表及删除所需的信息（直到过期）、语言等选择；在扩展中还有输入但未发送的文本和最近读取的文本（直到浏览器关闭）。无痕窗口中的内容不会留下。密码从不保存。',
      ],
      浏览器扩展: [
        '它只有一个用途：凭四个字母把文本带到另一台电脑。只有从您按下它的按钮或选择菜单中的命令起，它才查看该页面，而且只读取您要发送的选区或要填写的输入框。',
        '它向这台服务器或选项中指定的服务器发送：您写的文本及其期限和是否只能读一次、您要读取、删除或查询的代码、未加封文本的密码，以及服务器要求时的写入密钥。除此之外没有任何内容离开浏览器：不发送网页地址、浏览记录或能识别您的信息。',
        '发送的内容只用于这一用途。不出售，不转交第三方，不用于广告，也不用于判断任何人的信用。除非法律要求，或有人因某个文本受害而投诉，否则除了您告知四个字母的人，没有人会读取。删除文本即可收回；移除扩展，它保存的一切也随之消失。',
        `Chrome 网上应用店规定的声明（有限使用）：<span lang="en">${LIMITED_USE}</span>`,
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
