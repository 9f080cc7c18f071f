/** What the two stores are told of the extension, in every language: `bun run store` writes it beside the pictures. */
import type { Language } from './languages.ts'

/** What each picture shows, in their order. */
export const SCENES = ['write', 'load', 'seal', 'once', 'dark'] as const

/** Of both builds together. */
type Permission =
  | 'activeTab'
  | 'clipboardWrite'
  | 'contextMenus'
  | 'notifications'
  | 'offscreen'
  | 'scripting'
  | 'storage'

interface Listing {
  /** The headline of each picture, and what stands below it; broken where that reads best. */
  scenes: Record<(typeof SCENES)[number], [headline: string, line: string]>
  /** The text that the pictures carry. */
  sample: string
  description: string
  purpose: string
  permissions: Record<Permission, string>
  /** The form about data: what to tick, and why. */
  data: string
}

export const LISTINGS: Record<Language, Listing> = {
  en: {
    scenes: {
      write: ['Write a text, get four letters.', 'Type it, paste it, or send what you selected in a page.'],
      load: ['Type them anywhere. There it is.', 'Any browser opens it: nothing to install on the other computer.'],
      seal: ['A password seals it.', 'It is encrypted before it leaves your browser, and the server cannot read it.'],
      once: [
        'Read once, then gone.',
        'Every text is deleted when its time is up: after ten minutes, or after thirty days.',
      ],
      dark: ['By day and by night.', 'By keyboard alone, with a screen reader, in four languages.'],
    },
    sample: 'The train leaves at 9:40 from platform 4.\nSeat 31, by the window.\nhttps://www.example.com/seat?car=7',
    description: `Write a text here, get four letters. Load it on any other computer with those four letters.

For whoever stands between two computers that have no contact point: a locked-down PC, a console without a clipboard, a classroom, a borrowed laptop, a phone.

• No account, and nothing to install on the other computer: any browser loads the text, and so does curl.
• Four letters are read out in a second. Capitals have a colour of their own, and l, I and 1 look different.
• Select a text in any page and choose “Send selection”. Choose “Load into this field” where a text is wanted.
• A password seals the text in your browser: the server keeps what only the password opens.
• Every text is deleted when its time is up, or after it was read once if you say so. Erase it yourself at any moment.
• Type four letters and the text is there; Enter copies it. All of it works by keyboard, and with screen readers.
• English, Korean, Japanese and Chinese, light and dark.

No advertisements, no tracking, no statistics, no requests to third parties. It may look at no page but the one that you click in. Server and extension are free software: run a server of your own, and name it in the options.`,
    purpose:
      'To carry a text from one computer to another: the text is stored for a while under a code of four letters, and loaded elsewhere with that code.',
    permissions: {
      activeTab:
        'When the person clicks the extension’s button or an entry of its context menu, it reads the selection of that page, with its line breaks, or fills the field that was clicked. It sees no other page, and this one only from that click on. It asks for no host permission.',
      clipboardWrite: 'After “Send selection” it copies the code to the clipboard, although the popup is closed.',
      contextMenus:
        'For two entries of the context menu: “Send selection”, and “Load into this field” in editable fields.',
      notifications:
        'After “Send selection” a notification shows the code, or why the text was not sent, since the popup is closed.',
      offscreen:
        'Chromium lets an extension copy to the clipboard only from a document. The background opens an invisible one to copy the code after “Send selection”, and closes it at once.',
      scripting:
        'To read the selection and to fill the field, in the page where the person has just chosen one of the two commands. What is run there is part of the package.',
      storage:
        'Keeps the list of the codes that were written here, with what is needed to erase those texts, and the options. What was typed and not sent, and what was loaded last, is kept in memory until the browser closes. Passwords are never kept.',
    },
    data: `Does it run remote code: no. All that runs is in the package.

Tick “Website content”: the text that a person selects in a page and sends, like the text that he types, goes to the server (https://www.extextcloud.com, or the one named in the options), which keeps it until its time is up.
Tick “Authentication information”: the password of a text that is not sealed is sent to open it, and a write key where a server wants one. They are no logins: there are no accounts.
Leave all others empty: no personally identifiable information, health, financial or payment information, personal communications, location, web history or user activity is collected.

Certify all three: nothing is sold or transferred to third parties, used for anything but the single purpose, or used to determine creditworthiness or for lending.

Firefox: the manifest declares websiteContent as required. There is no other data, and none is optional.

Privacy policy: https://www.extextcloud.com/privacy`,
  },
  ko: {
    scenes: {
      write: ['글을 쓰면 네 글자.', '직접 쓰거나, 붙여넣거나, 페이지에서 선택해 보내세요.'],
      load: ['입력하면 바로 열립니다.', '다른 컴퓨터에는 아무것도 설치하지 않습니다.\n브라우저면 됩니다.'],
      seal: ['비밀번호로 봉인.', '글은 브라우저를 떠나기 전에 암호화되어, 서버도 읽을 수 없습니다.'],
      once: ['한 번 읽으면 사라집니다.', '모든 글은 기한이 되면 삭제됩니다.\n10분에서 30일까지 고를 수 있습니다.'],
      dark: ['낮에도, 밤에도.', '키보드만으로, 화면 낭독기로, 네 가지 언어로.'],
    },
    sample: '기차는 4번 승강장에서 9시 40분에 출발합니다.\n31번 창가 좌석입니다.\nhttps://www.example.com/seat?car=7',
    description: `글을 쓰면 네 글자가 나옵니다. 다른 컴퓨터에서 그 네 글자를 입력하면 글이 열립니다.

접점이 없는 두 컴퓨터 사이에서 쓰는 확장 프로그램입니다. 프로그램을 설치할 수 없는 PC, 클립보드가 없는 콘솔, 교실, 빌린 노트북, 휴대전화 사이에서 글을 옮기세요.

• 계정이 없고, 다른 컴퓨터에는 아무것도 설치하지 않습니다. 어느 브라우저에서나, curl로도 글을 불러올 수 있습니다.
• 네 글자는 금방 불러 줄 수 있습니다. 대문자는 색이 다르고, l과 I와 1도 서로 다르게 보입니다.
• 페이지에서 글을 선택하고 메뉴에서 보내세요. 글이 필요한 입력란에서는 메뉴로 바로 불러올 수 있습니다.
• 비밀번호를 걸면 글이 브라우저에서 봉인됩니다. 서버에는 그 비밀번호로만 열리는 것만 남습니다.
• 모든 글은 기한이 되면 삭제됩니다. 한 번만 읽게 할 수도 있고, 언제든 직접 지울 수도 있습니다.
• 네 글자를 입력하면 글이 열리고, Enter를 누르면 복사됩니다. 모든 기능을 키보드와 화면 낭독기로 쓸 수 있습니다.
• 한국어, 영어, 일본어, 중국어. 밝은 화면과 어두운 화면.

광고도, 추적도, 통계도, 제3자에게 보내는 요청도 없습니다. 사용자가 명령을 고른 페이지만 볼 수 있습니다. 서버와 확장 프로그램 모두 자유 소프트웨어이므로, 직접 서버를 운영하고 설정에서 지정할 수 있습니다.`,
    purpose:
      '글을 한 컴퓨터에서 다른 컴퓨터로 옮깁니다. 글은 네 글자 코드로 잠시 보관되고, 다른 곳에서 그 코드로 불러옵니다.',
    permissions: {
      activeTab:
        '사용자가 확장 프로그램의 버튼이나 컨텍스트 메뉴의 명령을 누르면, 그 페이지에서 선택한 글을 줄바꿈까지 읽거나 누른 입력란을 채웁니다. 다른 페이지는 볼 수 없고, 이 페이지도 누른 순간부터만 봅니다. 호스트 권한은 요청하지 않습니다.',
      clipboardWrite: '선택한 글을 보낸 뒤, 팝업이 닫혀 있어도 코드를 클립보드에 복사합니다.',
      contextMenus: '컨텍스트 메뉴의 두 명령, 선택한 글 보내기와 입력란에 불러오기를 위해 씁니다.',
      notifications: '선택한 글을 보낸 뒤 팝업이 닫혀 있으므로, 코드 또는 보내지 못한 이유를 알림으로 보여 줍니다.',
      offscreen:
        'Chromium에서 확장 프로그램은 문서에서만 클립보드에 복사할 수 있습니다. 선택한 글을 보낸 뒤 코드를 복사하려고 보이지 않는 문서를 열었다가 바로 닫습니다.',
      scripting:
        '사용자가 방금 두 명령 가운데 하나를 고른 페이지에서 선택한 글을 읽거나 입력란을 채웁니다. 그곳에서 실행되는 코드는 모두 패키지 안에 있습니다.',
      storage:
        '여기서 작성한 코드의 목록과 그 글을 지우는 데 필요한 정보, 설정을 보관합니다. 입력하고 보내지 않은 글과 마지막으로 불러온 글은 브라우저를 닫을 때까지만 메모리에 보관합니다. 비밀번호는 보관하지 않습니다.',
    },
    data: `원격 코드 사용: 아니요. 실행되는 코드는 모두 패키지 안에 있습니다.

“웹사이트 콘텐츠”에 표시하세요. 사용자가 페이지에서 선택해 보내는 글은 입력한 글과 마찬가지로 서버(https://www.extextcloud.com 또는 설정에서 지정한 서버)로 가고, 서버는 기한까지 보관합니다.
“인증 정보”에 표시하세요. 봉인되지 않은 글을 열 때 그 비밀번호를 보내고, 서버가 요구하면 쓰기 키를 보냅니다. 계정이 없으므로 로그인 정보는 아닙니다.
나머지는 비워 두세요. 개인 식별 정보, 건강 정보, 금융 및 결제 정보, 개인 커뮤니케이션, 위치, 방문 기록, 사용자 활동은 수집하지 않습니다.

세 가지 모두 확인하세요. 판매하거나 제3자에게 넘기지 않고, 하나의 목적 외에는 쓰지 않으며, 신용도 판단이나 대출에 쓰지 않습니다.

Firefox: 매니페스트는 websiteContent를 필수로 선언합니다. 다른 데이터는 없고, 선택 항목도 없습니다.

개인정보처리방침: https://www.extextcloud.com/privacy?language=ko`,
  },
  ja: {
    scenes: {
      write: ['書けば、四文字。', '入力しても、貼り付けても、ページで選んで送っても。'],
      load: ['入力すれば、すぐそこに。', '相手のコンピューターに入れるものはありません。\nブラウザーだけで開きます。'],
      seal: ['パスワードで封印。', 'テキストはブラウザーを出る前に暗号化され、サーバーにも読めません。'],
      once: ['一度読めば、消えます。', 'どのテキストも期限が来れば削除されます。\n10分後から30日後まで選べます。'],
      dark: ['昼も、夜も。', 'キーボードだけでも、スクリーンリーダーでも、四つの言語で。'],
    },
    sample: '電車は 4 番線から 9 時 40 分に出ます。\n座席は 31 番、窓側です。\nhttps://www.example.com/seat?car=7',
    description: `テキストを書くと四文字が出ます。ほかのコンピューターでその四文字を入力すれば、テキストが開きます。

接点のない二台のコンピューターのあいだに立つ人のための拡張機能です。何もインストールできない PC、クリップボードのないコンソール、教室、借りたノートパソコン、携帯電話のあいだでテキストを運べます。

• アカウントは不要。相手のコンピューターには何も入れません。どのブラウザーでも、curl でも読み込めます。
• 四文字なら口頭で伝えられます。大文字は色が違い、l と I と 1 も見分けられます。
• ページで選択し、メニューから送るだけ。テキストが要る入力欄では、メニューからそのまま読み込めます。
• パスワードを付けるとブラウザーの中で封印されます。サーバーに残るのは、そのパスワードでしか開かないものだけです。
• どのテキストも期限が来れば削除されます。一度だけ読めるようにも、いつでも自分で消すこともできます。
• 四文字を入力すればテキストが開き、Enter でコピーできます。すべてキーボードとスクリーンリーダーで使えます。
• 日本語、英語、韓国語、中国語。明るい画面と暗い画面。

広告も追跡も統計も、第三者へのリクエストもありません。見ることができるのは、コマンドを選んだページだけです。サーバーも拡張機能も自由ソフトウェアです。自分のサーバーを動かし、設定で指定できます。`,
    purpose:
      'テキストをあるコンピューターから別のコンピューターへ運びます。テキストは四文字のコードでしばらく保存され、別の場所でそのコードを使って読み込まれます。',
    permissions: {
      activeTab:
        '拡張機能のボタンまたはコンテキストメニューのコマンドが押されたとき、そのページの選択範囲を改行ごと読み取るか、押された入力欄に書き込みます。ほかのページは見えず、このページも押された時点からしか見ません。ホスト権限は求めません。',
      clipboardWrite: '選択範囲を送ったあと、ポップアップが閉じていてもコードをクリップボードにコピーします。',
      contextMenus: 'コンテキストメニューの二つのコマンド、選択範囲の送信と入力欄への読み込みのために使います。',
      notifications:
        '選択範囲を送ったあとはポップアップが閉じているため、コードまたは送れなかった理由を通知で示します。',
      offscreen:
        'Chromium では、拡張機能は文書からしかクリップボードにコピーできません。選択範囲を送ったあとコードをコピーするために見えない文書を開き、すぐに閉じます。',
      scripting:
        '利用者が二つのコマンドのどちらかを選んだページで、選択範囲を読み取るか入力欄に書き込みます。そこで動くコードはすべてパッケージの中にあります。',
      storage:
        'ここで書いたコードの一覧とそのテキストを消すために必要な情報、設定を保存します。入力して送らなかったものと最後に読み込んだものは、ブラウザーを閉じるまでメモリーに保存します。パスワードは保存しません。',
    },
    data: `リモートコードの使用：いいえ。動くコードはすべてパッケージの中にあります。

「ウェブサイトのコンテンツ」に印を付けます。利用者がページで選択して送るテキストは、入力したテキストと同じくサーバー（https://www.extextcloud.com、または設定で指定したサーバー）へ送られ、期限まで保存されます。
「認証情報」に印を付けます。封印されていないテキストを開くときにそのパスワードを、サーバーが求める場合は書き込みキーを送ります。アカウントはないので、ログイン情報ではありません。
ほかは空のままにします。個人を特定できる情報、健康、金融・支払い、個人的なやり取り、位置情報、閲覧履歴、操作の情報は集めません。

三つの項目すべてを確認します。販売も第三者への提供もせず、単一の目的のほかには使わず、信用力の判断や融資にも使いません。

Firefox：マニフェストは websiteContent を必須として宣言しています。ほかのデータも、任意の項目もありません。

プライバシーポリシー：https://www.extextcloud.com/privacy?language=ja`,
  },
  zh_CN: {
    scenes: {
      write: ['写下文本，\n得到四个字母。', '直接输入、粘贴，\n或发送网页中选中的内容。'],
      load: ['随处输入，立即出现。', '另一台电脑无需安装任何东西，\n有浏览器即可。'],
      seal: ['用密码加封。', '文本在离开浏览器之前就已加密，\n服务器也无法读取。'],
      once: ['读过一次，随即消失。', '每个文本到期即删除：\n从十分钟到三十天，由您选择。'],
      dark: ['白天黑夜，一样好用。', '只用键盘，配合屏幕阅读器，\n支持四种语言。'],
    },
    sample: '火车 9:40 从 4 号站台出发。\n座位 31 号，靠窗。\nhttps://www.example.com/seat?car=7',
    description: `写下文本，得到四个字母。在任何其他电脑上输入这四个字母，即可打开文本。

为需要在两台毫无联系的电脑之间传递文本的人而做：不能安装软件的电脑、没有剪贴板的控制台、教室、借来的笔记本电脑、手机。

• 不用账号，另一台电脑也无需安装任何东西：任何浏览器都能读取，curl 也可以。
• 四个字母一念就清楚。大写字母颜色不同，l、I 和 1 一眼可辨。
• 在网页中选中文本，从菜单发送；在需要文本的输入框中，从菜单直接载入。
• 设置密码后，文本在您的浏览器中加封：服务器上留下的内容只有该密码能打开。
• 每个文本到期即删除；也可以设为只能读一次，或随时自行删除。
• 输入四个字母即可看到文本，按 Enter 复制。全部功能都可用键盘和屏幕阅读器操作。
• 中文、英语、韩语、日语，浅色与深色。

没有广告，没有跟踪，没有统计，没有发往第三方的请求。它只能查看您点击过的网页。服务器和扩展都是自由软件：可以运行自己的服务器，并在选项中指定。`,
    purpose: '把文本从一台电脑带到另一台电脑：文本以四个字母的代码短期保存，在别处凭该代码读取。',
    permissions: {
      activeTab:
        '当用户点击扩展的按钮或右键菜单中的命令时，读取该网页中选中的文本（包括换行），或填写所点击的输入框。它看不到其他网页，对该网页也只从点击那一刻起可见。不请求任何主机权限。',
      clipboardWrite: '发送选中内容后，即使弹出窗口已关闭，也能把代码复制到剪贴板。',
      contextMenus: '用于右键菜单中的两条命令：发送选中内容，以及在输入框中载入文本。',
      notifications: '发送选中内容后弹出窗口是关闭的，因此用通知显示代码或未能发送的原因。',
      offscreen:
        '在 Chromium 中，扩展只能从文档复制到剪贴板。发送选中内容后，后台打开一个不可见的文档来复制代码，随即关闭。',
      scripting: '在用户刚刚选择了两条命令之一的网页中读取选中内容或填写输入框。在那里运行的代码全部包含在安装包内。',
      storage:
        '保存在此写下的代码列表、删除这些文本所需的信息以及选项。输入但未发送的内容和最近读取的内容只在内存中保存到浏览器关闭为止。密码从不保存。',
    },
    data: `是否使用远程代码：否。运行的代码全部包含在安装包内。

勾选“网站内容”：用户在网页中选中并发送的文本，与用户输入的文本一样，会发送到服务器（https://www.extextcloud.com 或选项中指定的服务器），保存到期限为止。
勾选“身份验证信息”：打开未加封的文本时会发送其密码，服务器要求时会发送写入密钥。它们不是登录信息：没有账号。
其余留空：不收集个人身份信息、健康信息、财务和付款信息、个人通信、位置、浏览记录或用户活动。

三项声明全部确认：不出售或转交第三方，不用于单一用途以外的目的，不用于判断信用或放贷。

Firefox：清单声明 websiteContent 为必需。没有其他数据，也没有可选项。

隐私政策：https://www.extextcloud.com/privacy?language=zh-CN`,
  },
}
