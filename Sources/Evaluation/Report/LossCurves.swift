import Bytes
import Foundation
import ModelFiles

/// The loss of training runs by step, drawn from what `vlm train` writes beside them.
public struct LossCurves {
    private var curves: [Plot.Series] = []

    /// Curves of at most this many points: each is the mean of the steps since the one before.
    private static let maximumPoints = 80

    /// Reads `log.jsonl` of every run.
    /// - Throws: `EvaluationError` for a log that cannot be read or holds no loss.
    public init(runs: [String]) throws {
        for run in runs {
            let losses = try Self.losses(of: run)
            let stride = (losses.count + Self.maximumPoints - 1) / Self.maximumPoints
            let points = Swift.stride(from: 0, to: losses.count, by: stride).map { first in
                let part = losses[first..<min(first + stride, losses.count)]
                let mean = part.map(\.loss).reduce(0, +) / Double(part.count)
                return (
                    x: Double(part[part.endIndex - 1].step), y: mean, lower: Double?.none, upper: Double?.none,
                    label: ""
                )
            }
            curves.append(Plot.Series(name: URL(filePath: run).lastPathComponent, points: points))
        }
    }

    /// The drawing as a file of SVG.
    public var svg: String {
        Plot.file([
            Plot(
                title: "Loss by step", xTitle: "step", series: curves, isShare: false, scale: .linear,
                marksPoints: false)
        ])
    }

    private static func losses(of run: String) throws -> [(step: Int, loss: Double)] {
        let path = URL(filePath: run).appending(path: "log.jsonl").path
        let text: Data
        do { text = try Data(contentsOf: URL(filePath: path)) } catch {
            throw EvaluationError.unreadable(path: path, reason: error.localizedDescription)
        }
        // The last line may have been cut off by what stopped the run.
        let losses = text.split(separator: UInt8(ascii: "\n")).compactMap { line -> (step: Int, loss: Double)? in
            guard let value = try? JSONValue(parsing: [UInt8](line), source: path), let step = value["step"]?.int,
                let loss = value["loss"]?.double
            else { return nil }
            return (step, loss)
        }
        guard !losses.isEmpty else { throw EvaluationError.noSteps(path: path) }
        return losses
    }
}
