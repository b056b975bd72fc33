//! The recording at the top of the README: the course of the limit, as an animated SVG without a script.

use std::fmt::Write as _;

use serde_json::Value;

/// The size of the picture, in its own units; the plot leaves room for numbers, and for words below.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 330.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 846.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 268.0;

/// The duration in seconds, and the percentages of it that show the whole picture before and after.
const PLAYED: u32 = 18;
const REST: f64 = 10.0;

/// Light and dark, as on the page. With reduced motion only the end is shown.
const STYLE: &str = "
    .plot { --text: #1a2430; --muted: #586675; --grid: #e8ecf0; --active: #2a78d0; --limit: #37475a; --change: #8a5a00; --bad: #b3261e }
    @media (prefers-color-scheme: dark) { .plot { --text: #dce4ec; --muted: #96a4b3; --grid: #2a3540; --active: #5aa2f5; --limit: #c3cedb; --change: #efb55e; --bad: #ff8a80 } }
    text { font: 12px system-ui, sans-serif; fill: var(--muted) }
    .grid { stroke: var(--grid) } .mark { stroke: var(--change); stroke-width: 1.5 } .refused .mark { stroke: var(--bad); stroke-dasharray: 4 3 }
    .active { fill: none; stroke: var(--active); stroke-width: 2 } .area { fill: var(--active); opacity: .22 }
    .limit { fill: none; stroke: var(--limit); stroke-width: 2.5 }
    .words { font: 15px ui-monospace, monospace; fill: var(--text) } .refused .words { fill: var(--bad) }
    .caption { opacity: 0 } .caption:last-of-type { opacity: 1 }
    .key .a { fill: var(--active) } .key .l { fill: var(--limit) }
    @media (prefers-reduced-motion: reduce) { * { animation: none !important } }";

/// An action of an operator, its time, and whether it was refused.
pub(crate) struct Deed {
    /// In seconds after the first sample.
    pub(crate) second: f64,
    pub(crate) words: String,
    pub(crate) is_refused: bool,
}

/// The SVG. `series` is the answer to `GET /series`; the deeds are in chronological order.
pub(crate) fn svg(series: &Value, deeds: &[Deed]) -> String {
    let column = |name: &str| -> Vec<f64> {
        series[name].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    };
    let [times, active, limit] = ["time", "active", "limit"].map(column);
    let (first, last) = (times[0], times[times.len() - 1]);
    let highest = limit.iter().chain(&active).copied().fold(0.0, f64::max);
    let top = (highest * 1.08 / 50.0).ceil() * 50.0;
    let x = |second: f64| LEFT + (second - first) / (last - first) * (RIGHT - LEFT);
    let y = |value: f64| BOTTOM - value / top * (BOTTOM - TOP);
    let steps = |values: &[f64]| -> String {
        let (mut path, mut before) = (String::new(), None);
        for (time, value) in times.iter().zip(values).filter(|(_, value)| {
            let is_new = before != Some(**value);
            before = Some(**value);
            is_new
        }) {
            write!(path, "{}{:.1} V{:.1}", if path.is_empty() { "M" } else { "H" }, x(*time), y(*value))
                .unwrap();
        }
        // The first step has no line to come from.
        let start = format!("M{:.1} {:.1}", x(first), y(values[0]));
        let rest = path.split_once('H').map_or(String::new(), |(_, rest)| format!("H{rest}"));
        format!("{start}{rest}H{RIGHT}")
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Connections against the limit, which is raised, lowered and twice refused while clients work\">\n<style>{STYLE}\n"
    );
    let share = |second: f64| REST + second.clamp(0.0, last - first) / (last - first) * (100.0 - 2.0 * REST);
    // A viewer that shows only the first frame shows the whole picture.
    writeln!(
        svg,
        "    @keyframes play {{ 0%, {REST}% {{ transform: none }} {:.2}% {{ transform: scaleX(0) }} {:.2}%, to {{ transform: none }} }}\n    \
         #shown {{ animation: play {PLAYED}s linear infinite }}",
        REST + 0.01,
        100.0 - REST,
    )
    .unwrap();
    for (number, deed) in deeds.iter().enumerate() {
        let begin = share(deed.second).max(REST + 0.01);
        let frames = match deeds.get(number + 1).map(|next| share(next.second)) {
            Some(until) => format!(
                "0%, {:.2}% {{ opacity: 0 }} {begin:.2}%, {:.2}% {{ opacity: 1 }} {until:.2}%, to {{ opacity: 0 }}",
                begin - 0.01,
                until - 0.01,
            ),
            None => format!(
                "0%, {REST}% {{ opacity: 1 }} {:.2}%, {:.2}% {{ opacity: 0 }} {begin:.2}%, to {{ opacity: 1 }}",
                REST + 0.01,
                begin - 0.01,
            ),
        };
        writeln!(svg, "    @keyframes c{number} {{ {frames} }}\n    #c{number} {{ animation: c{number} {PLAYED}s linear infinite }}").unwrap();
    }
    let whole = RIGHT + 2.0;
    write!(svg, "</style>\n<clipPath id=\"clip\"><rect id=\"shown\" width=\"{whole}\" height=\"{HEIGHT}\"/></clipPath>\n").unwrap();
    for number in [0.0, top / 2.0, top] {
        let at = y(number);
        writeln!(svg, "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{RIGHT}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{number}</text>", LEFT - 8.0, at + 4.0).unwrap();
    }
    let course = steps(&active);
    writeln!(
        svg,
        "<g clip-path=\"url(#clip)\">\n<path class=\"area\" d=\"{course}V{BOTTOM}H{LEFT}Z\"/>\
         <path class=\"active\" d=\"{course}\"/>\n<path class=\"limit\" d=\"{}\"/>",
        steps(&limit)
    )
    .unwrap();
    for deed in deeds {
        let class = if deed.is_refused { " class=\"refused\"" } else { "" };
        writeln!(
            svg,
            "<g{class}><path class=\"mark\" d=\"M{:.1} {TOP}V{BOTTOM}\"/></g>",
            x(first + deed.second)
        )
        .unwrap();
    }
    svg += "</g>\n<g class=\"key\"><rect class=\"l\" x=\"700\" y=\"281\" width=\"14\" height=\"3\"/><text x=\"720\" y=\"287\">limit</text>\
        <rect class=\"a\" x=\"760\" y=\"277\" width=\"14\" height=\"9\" opacity=\".6\"/><text x=\"780\" y=\"287\">connections</text></g>\n";
    for (number, deed) in deeds.iter().enumerate() {
        let class = if deed.is_refused { "caption refused" } else { "caption" };
        let words = deed.words.replace('&', "&amp;").replace('<', "&lt;");
        writeln!(svg, "<g id=\"c{number}\" class=\"{class}\"><text class=\"words\" x=\"{LEFT}\" y=\"312\">{words}</text></g>").unwrap();
    }
    svg + "</svg>\n"
}
