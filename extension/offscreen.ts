/** Nobody sees this page: in Chromium the background has no document of its own to copy from. */
import { copyBySelection } from './clipboard.ts'

chrome.runtime.onMessage.addListener(({ copy }: { copy?: string }, _sender, answer) => {
  // The popup's wishes pass here too, and are not for this page to answer.
  if (copy !== undefined) answer(copyBySelection(copy))
})
