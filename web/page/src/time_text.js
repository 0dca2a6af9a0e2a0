// Times as people write them, in the browser's time zone: the same texts that `hearth query --from` takes.

const UNITS = { s: 1e3, m: 60e3, h: 3600e3, d: 86400e3, w: 7 * 86400e3 };
const EXAMPLES = "now, -15m, -1h30m, 03:14, yesterday 03:14, 2026-11-20 03:14";

function ago(text) {
	let total = 0, at = 0;
	const part = /(\d{1,9})([smhdw])/gy;
	while (at < text.length) {
		part.lastIndex = at;
		const found = part.exec(text);
		if (!found)
			return null;
		total += Number(found[1]) * UNITS[found[2]];
		at = part.lastIndex;
	}
	return total;
}

// The moment of today (or of days before it) when it is that o'clock.
function oClock(text, now, days) {
	const found = /^(\d{1,2}):(\d{2})(?::(\d{2}))?$/.exec(text);
	if (!found || Number(found[1]) > 23 || Number(found[2]) > 59 || Number(found[3] || 0) > 59)
		return null;
	const t = new Date(now);
	t.setDate(t.getDate() - days);
	t.setHours(Number(found[1]), Number(found[2]), Number(found[3] || 0), 0);
	return t.getTime();
}

function date(text) {
	const found = /^(\d{4})-(\d{2})-(\d{2})(?:[ T](\d{2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?(Z|[+-]\d{2}:\d{2})?)?$/.exec(text);
	if (!found)
		return null;
	const [, year, month, dayOf, hour, minute, second, zone] = found;
	const t = zone ? new Date(text.replace(" ", "T")) : new Date(+year, +month - 1, +dayOf, +(hour || 0), +(minute || 0), +(second || 0));
	const valid = zone || (t.getMonth() === +month - 1 && t.getDate() === +dayOf && +(hour || 0) < 24 && +(minute || 0) < 60);
	return valid && !Number.isNaN(t.getTime()) ? t.getTime() : null;
}

// Milliseconds since the epoch; throws an Error whose message says what can be written.
export function parseTime(written, now) {
	const text = String(written).trim().toLowerCase().replace("z", "Z").replace(/t(?=\d)/, "T");
	let found = null;
	if (text === "now")
		found = now;
	else if (/^\d{11,15}$/.test(text))
		found = Number(text);
	else if (/^@\d{1,12}$/.test(text))
		found = Number(text.slice(1)) * 1000;
	else if (/^-\d/.test(text)) {
		const back = ago(text.slice(1));
		found = back === null ? null : now - back;
	} else if (text.startsWith("yesterday "))
		found = oClock(text.slice(10).trim(), now, 1);
	else if (text.startsWith("today "))
		found = oClock(text.slice(6).trim(), now, 0);
	else if (/^\d{1,2}:/.test(text)) {
		found = oClock(text, now, 0);
		if (found !== null && found > now)
			found = oClock(text, now, 1);
	} else
		found = date(text);
	if (found === null || found < 0 || found > 8e15)
		throw new Error(`"${String(written).slice(0, 40)}" is not a time. Write for example: ${EXAMPLES}`);
	return Math.floor(found);
}
