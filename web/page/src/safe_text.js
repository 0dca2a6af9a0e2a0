// What is shown of names that strangers chose. Characters that cannot be seen, turn the direction of writing, end a line or begin an
// escape sequence are spelled out, so that two different names never look alike because of them, and so that a copied name does
// nothing in a terminal. Names that go back to the server stay as they are.

const UNSEEN = /[\p{Cc}\p{Cs}\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb]|[\u{e0000}-\u{e0fff}]/gu;

export function visible(text) {
	return String(text).replace(UNSEEN, one => `\\u{${one.codePointAt(0).toString(16)}}`);
}

export const baseName = path => path.slice(path.lastIndexOf("/") + 1) || path;

// The end of a path says more than its beginning.
export function shortPath(path, room) {
	const text = visible(path);
	return text.length <= room ? text : "…" + text.slice(text.length - room + 1);
}
