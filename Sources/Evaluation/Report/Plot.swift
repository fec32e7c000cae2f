import Foundation

/// A plot of curves as SVG: an axis across, a linear one up, intervals as bars.
struct Plot {
    /// A curve.
    struct Series {
        var name: String
        /// x above 0, y, and where y lies with 95 % confidence.
        var points: [(x: Double, y: Double, lower: Double?, upper: Double?, label: String)]
    }

    var title: String
    var xTitle: String
    var series: [Series]
    /// Whether y is a share, written in per cent.
    var isShare: Bool
    /// Whether curves have points at the same x, which are drawn beside each other.
    var isSpread = false
    var scale = Scale.logarithmic
    /// Whether every point is a circle that says what it is.
    var marksPoints = true

    /// How the axis across is divided.
    enum Scale {
        case logarithmic, linear

        func place(_ value: Double) -> Double { self == .linear ? value : log(value) }
        func value(_ place: Double) -> Double { self == .linear ? place : exp(place) }
    }

    // Sizes are those of a narrow screen, so that letters stay readable when nothing is scaled up.
    private static let (width, height) = (380.0, 270.0)
    private static let (left, right, top, bottom) = (46.0, 12.0, 12.0, 42.0)

    /// Colours of the page that curves take in turn.
    static let colours = 6

    /// What drawings take their colours from, light and dark: once in a page, or within a file.
    static let style = """
        :root { --back: #fff; --text: #1c1c1e; --line: #d8d8dc; --c0: #1f5fbf; --c1: #c4510a; --c2: #1a7f37; --c3: #8b3fc0;
          --c4: #b0236a; --c5: #0b7f86; }
        @media (prefers-color-scheme: dark) {
          :root { --back: #141416; --text: #ececf0; --line: #3a3a40; --c0: #6ea8ff; --c1: #ffa15c; --c2: #62d089;
            --c3: #c792ff; --c4: #ff86b8; --c5: #4fd3da; } }
        svg text { fill: var(--text); font: 12px system-ui, sans-serif; }
        .grid { stroke: var(--line); stroke-width: 1; }
        .c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); }
        .c3 { --c: var(--c3); } .c4 { --c: var(--c4); } .c5 { --c: var(--c5); }
        .curve polyline, .curve line { fill: none; stroke: var(--c); stroke-width: 1.8; }
        .curve circle { fill: var(--c); stroke: var(--back); stroke-width: 1; }
        """

    /// The drawing as a file of its own.
    var file: String { Self.file([self]) }

    /// Drawings below each other as a file: each with its title, and the names of its curves if there are several.
    static func file(_ plots: [Plot]) -> String {
        var (parts, y) = ([String](), 0.0)
        for plot in plots {
            parts.append("<g transform=\"translate(0, \(y + titleHeight))\">\(plot.titled)</g>")
            y += titleHeight + height + lineHeight * Double(plot.names.count)
        }
        let size = "width=\"\(Int(2 * width))\" height=\"\(Int(2 * y))\" viewBox=\"0 0 \(Int(width)) \(Int(y))\""
        return """
            <svg xmlns="http://www.w3.org/2000/svg" \(size)>
            <style>
            \(style)
            </style>
            <rect width="100%" height="100%" style="fill: var(--back)"/>
            \(parts.joined(separator: "\n"))
            </svg>

            """
    }

    private static let (titleHeight, lineHeight) = (26.0, 16.0)
    private var names: [String] { series.count > 1 ? series.map(\.name) : [] }

    private var titled: String {
        let legend = names.enumerated().map { index, name in
            let y = Self.height + Self.lineHeight * (Double(index) + 0.5)
            return "<g class=\"curve c\(index % Self.colours)\"><line x1=\"\(Self.left)\" x2=\"\(Self.left + 24)\" "
                + "y1=\"\(y)\" y2=\"\(y)\"/><circle cx=\"\(Self.left + 12)\" cy=\"\(y)\" r=\"3.5\"/></g>"
                + "<text x=\"\(Self.left + 32)\" y=\"\(y + 4)\">\(name.escaped)</text>"
        }
        let title = "<text x=\"\(Self.left)\" y=\"-6\" style=\"font-weight: 600\">\(title.escaped)</text>"
        return ([title, drawing] + legend).joined(separator: "\n")
    }

    /// The drawing, which takes its colours from the page; empty if there is nothing to draw.
    var svg: String {
        let inner = drawing
        guard !inner.isEmpty else { return "" }
        return "<svg viewBox=\"0 0 \(Int(Self.width)) \(Int(Self.height))\" role=\"img\" "
            + "aria-label=\"\(title.escaped)\">\n\(inner)</svg>"
    }

    /// Axes and curves.
    private var drawing: String {
        let all = series.flatMap(\.points).filter { $0.x > 0 && $0.y.isFinite }
        guard let first = all.first else { return "" }
        let xs = all.map { scale.place($0.x) }
        var (low, high) = (xs.min() ?? scale.place(first.x), xs.max() ?? scale.place(first.x))
        if high - low < 0.1 { (low, high) = (low - 0.5, high + 0.5) }
        let margin = (high - low) * 0.04
        (low, high) = (low - margin, high + margin)
        let steps = Self.steps(
            from: isShare ? all.map { $0.lower ?? $0.y }.min() ?? 0 : 0, to: all.map { $0.upper ?? $0.y }.max() ?? 1,
            limit: isShare ? 1 : .infinity)
        let (floor, ceiling) = (steps.first ?? 0, steps.last ?? 1)
        func x(_ value: Double) -> Double {
            Self.left + (scale.place(value) - low) / (high - low) * (Self.width - Self.left - Self.right)
        }
        func y(_ value: Double) -> Double {
            Self.height - Self.bottom - (value - floor) / (ceiling - floor) * (Self.height - Self.top - Self.bottom)
        }
        var parts: [String] = []
        for step in steps {
            let at = Self.text(y(step))
            parts.append(
                "<line class=\"grid\" x1=\"\(Self.left)\" x2=\"\(Self.width - Self.right)\" y1=\"\(at)\" y2=\"\(at)\"/>"
            )
            parts.append(
                "<text x=\"\(Self.left - 5)\" y=\"\(Self.text(y(step) + 4))\" text-anchor=\"end\">\(yLabel(step))</text>"
            )
        }
        for tick in Self.ticks(from: scale.value(low), to: scale.value(high), scale) {
            let at = Self.text(x(tick))
            parts.append(
                "<line class=\"grid\" x1=\"\(at)\" x2=\"\(at)\" y1=\"\(Self.top)\" y2=\"\(Self.height - Self.bottom)\"/>"
            )
            parts.append(
                "<text x=\"\(at)\" y=\"\(Self.height - Self.bottom + 15)\" text-anchor=\"middle\">\(Self.short(tick))</text>"
            )
        }
        parts.append(
            "<text x=\"\((Self.left + Self.width - Self.right) / 2)\" y=\"\(Self.height - 8)\" text-anchor=\"middle\">"
                + "\(xTitle.escaped)</text>")
        for (index, curve) in series.enumerated() {
            let points = curve.points.filter { $0.x > 0 && $0.y.isFinite }
            parts.append("<g class=\"curve c\(index % Self.colours)\">")
            let shift = isSpread ? 4 * (Double(index) - Double(series.count - 1) / 2) : 0
            func at(_ value: Double) -> String { Self.text(x(value) + shift) }
            let line = points.map { "\(at($0.x)),\(Self.text(y($0.y)))" }.joined(separator: " ")
            parts.append("<polyline points=\"\(line)\"/>")
            for point in points where marksPoints {
                if let lower = point.lower, let upper = point.upper {
                    parts.append(
                        "<line x1=\"\(at(point.x))\" x2=\"\(at(point.x))\" "
                            + "y1=\"\(Self.text(y(lower)))\" y2=\"\(Self.text(y(upper)))\"/>")
                }
                parts.append(
                    "<circle cx=\"\(at(point.x))\" cy=\"\(Self.text(y(point.y)))\" r=\"3.5\">"
                        + "<title>\(point.label.escaped)</title></circle>")
            }
            parts.append("</g>")
        }
        return parts.joined(separator: "\n")
    }

    private func yLabel(_ value: Double) -> String {
        isShare ? String(format: "%g %%", value * 100) : Self.short(value)
    }

    private static func text(_ value: Double) -> String { String(format: "%.1f", value) }

    /// Round values that enclose a range, four to seven of them.
    static func steps(from low: Double, to high: Double, limit: Double) -> [Double] {
        let span = max(high - low, 1e-9)
        let unit = pow(10, (log10(span / 4)).rounded(.down))
        let size = [1, 2, 2.5, 5, 10].map { $0 * unit }.first { span / $0 <= 5 } ?? unit * 10
        let first = (low / size + 1e-9).rounded(.down)
        let last = max((min(high, limit) / size - 1e-9).rounded(.up), first + 1)
        return stride(from: first, through: last, by: 1).map { $0 * size }
    }

    /// Round values of an axis: powers of two, or 1, 2 and 5 of each ten, or tens; evenly spaced ones where too little is
    /// spanned for these, or the axis is linear.
    static func ticks(from low: Double, to high: Double, _ scale: Scale = .logarithmic) -> [Double] {
        let even = steps(from: low, to: high, limit: .infinity).filter { (low...high).contains($0) }
        if scale == .linear { return even }
        let tens = (-12...18).map { pow(10, Double($0)) }
        let choices = [
            (-40...60).map { pow(2, Double($0)) }, tens.flatMap { ten in [1, 2, 5].map { $0 * ten } }, tens,
        ].map { $0.filter { (low...high).contains($0) } }
        return choices.first { (3...9).contains($0.count) } ?? even
    }

    /// A number in at most four characters or so.
    static func short(_ value: Double) -> String {
        let size = abs(value)
        if size >= 1e6 || (size > 0 && size < 1e-3) { return String(format: "%.0e", value) }
        if size >= 100 || value == value.rounded() { return String(format: "%.0f", value) }
        return String(format: size >= 1 ? "%.3g" : "%.2g", value)
    }
}

extension String {
    /// The text as it may stand in HTML, also within quotes.
    var escaped: String {
        reduce(into: "") { result, character in
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            default: result.append(character)
            }
        }
    }
}
