/// Time to the first token against the number of visual tokens, and the stages that it consists of.
public struct FirstTokenPlot {
    private let title: String
    private var curves: [Plot.Series] = []

    /// A plot without curves.
    public init(title: String) { self.title = title }

    /// Adds a curve of milliseconds by visual tokens.
    public mutating func add(_ name: String, _ points: [(visualTokens: Int, milliseconds: Double)]) {
        curves.append(
            Plot.Series(
                name: name,
                points: points.map {
                    let label = "\($0.visualTokens) visual tokens: \(Plot.short($0.milliseconds)) ms"
                    return (Double($0.visualTokens), $0.milliseconds, nil, nil, label)
                }))
    }

    /// The drawing as a file of SVG.
    public var svg: String {
        Plot.file([Plot(title: title, xTitle: "visual tokens", series: curves, isShare: false)])
    }
}
