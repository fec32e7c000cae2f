import Foundation
public import LLaVAPipeline
import NeuralNetwork

/// What the number of visual tokens decides, drawn from a model's shapes: the share of the visual tokens that each layer
/// keeps, operations to the first token, and keys in the cache.
public struct BudgetPlots {
    private let model: LLaVAModel
    private let cost: AnswerCost
    private let textTokens: Int

    /// Plots for prompts of one view and `textTokens` tokens of text.
    public init(_ model: LLaVAModel, textTokens: Int = 32) {
        self.model = model
        self.textTokens = textTokens
        cost = AnswerCost(model)
    }

    /// The drawing as a file of SVG; nil for a model without a vision tower, which has no visual tokens.
    public var svg: String? {
        guard let vision = model.vision else { return nil }
        let budgets = model.maximumVisualTokens.map(Self.numbers) ?? [vision.grid.count]
        var plots: [Plot] = []
        if let retention = cost.retention {
            plots.append(
                plot(
                    "Share of the visual tokens that each layer keeps", "layer", isShare: true,
                    retention.enumerated().map { (Double($0 + 1), $1) }, scale: .linear))
        }
        let across = "visual tokens (and \(textTokens) tokens of text)"
        plots.append(
            plot(
                "GFLOP to the first token", across, isShare: false,
                budgets.map { m in
                    let prefill = cost.prefill(textTokens: textTokens, visualTokens: m)
                    return (Double(m), 1e-9 * Double(cost.encode + cost.connect(visualTokens: m) + prefill))
                }))
        plots.append(
            plot(
                "Keys in the caches of all layers", across, isShare: false,
                budgets.map { m in
                    let entries = cost.keyValueEntries(textTokens: textTokens, visualTokens: m)
                    return (Double(m), Double(entries.reduce(0, +)))
                }))
        return Plot.file(plots)
    }

    private func plot(
        _ title: String, _ xTitle: String, isShare: Bool, _ points: [(x: Double, y: Double)],
        scale: Plot.Scale = .logarithmic
    ) -> Plot {
        Plot(
            title: title, xTitle: xTitle,
            series: [
                Plot.Series(
                    name: "", points: points.map { ($0.x, $0.y, nil, nil, "\(Plot.short($0.x)): \(Plot.short($0.y))") })
            ], isShare: isShare, scale: scale)
    }

    /// Powers of two below `maximum`, and `maximum`.
    private static func numbers(upTo maximum: Int) -> [Int] {
        var numbers: [Int] = []
        var next = 1
        while next < maximum {
            numbers.append(next)
            next *= 2
        }
        return numbers + [maximum]
    }
}
