import Foundation
import ModelFiles
import NeuralNetwork
import Tensors

/// A run as it was after a step: what is needed to go on to the same bytes as if it had never stopped.
///
///     checkpoints/step-00000500/parameters.safetensors    values of what is trained, float32, and running averages
///                               optimizer.safetensors     the moving averages, NAME.first and NAME.second
///                               state.json                steps taken, examples drawn of each source
///
/// A checkpoint appears under its name whole or not at all, and the one before is kept until then.
struct RunState: Codable {
    /// Optimiser steps taken.
    var step: Int
    /// Examples drawn so far, by source.
    var drawn: [Int]
    /// Examples there are, by source; nil in checkpoints of before they were noted.
    var counts: [Int]?

    private static let prefix = "step-"

    /// The directory of the newest checkpoint of a run; nil if there is none.
    static func newest(in run: URL) -> URL? { all(in: run).last }

    private static func all(in run: URL) -> [URL] {
        let directory = run.appending(path: "checkpoints")
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        return names.filter { $0.hasPrefix(prefix) }.sorted().map { directory.appending(path: $0) }
    }

    /// Writes a checkpoint and removes all but the newest two.
    func save(in run: URL, _ learner: any Learner, _ optimizer: AdamW) throws {
        let manager = FileManager.default
        let digits = String(step)
        let name = Self.prefix + String(repeating: "0", count: max(0, 8 - digits.count)) + digits
        let directory = run.appending(path: "checkpoints")
        let (draft, target) = (directory.appending(path: ".\(name).partial"), directory.appending(path: name))
        try? manager.removeItem(at: draft)
        try manager.createDirectory(at: draft, withIntermediateDirectories: true)
        do {
            try SafetensorsWriter.write(
                TrainedModel.tensors(learner.parameters, learner.statistics),
                to: draft.appending(path: "parameters.safetensors").path)
            var moments: [String: Tensor] = [:]
            for (name, moment) in optimizer.moments {
                moments[name + ".first"] = Tensor(moment.first, shape: [moment.first.count])
                moments[name + ".second"] = Tensor(moment.second, shape: [moment.second.count])
            }
            try SafetensorsWriter.write(moments, to: draft.appending(path: "optimizer.safetensors").path)
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys]
            try encoder.encode(self).write(to: draft.appending(path: "state.json"), options: .atomic)
            if manager.fileExists(atPath: target.path) { try manager.removeItem(at: target) }
            try manager.moveItem(at: draft, to: target)
        } catch {
            try? manager.removeItem(at: draft)
            throw error
        }
        for old in Self.all(in: run).dropLast(2) { try? manager.removeItem(at: old) }
    }

    /// Reads a checkpoint into the parameters and the optimiser.
    /// - Throws: `CheckpointError` for a file that is damaged or of another model.
    static func load(_ directory: URL, _ learner: any Learner, _ optimizer: AdamW) throws -> RunState {
        let parameters = learner.parameters
        let state = try JSONFile.decode(RunState.self, from: directory.appending(path: "state.json").path)
        let path = directory.appending(path: "parameters.safetensors").path
        let values = try SafetensorsFile(path: path).tensors
        for parameter in parameters {
            guard let value = values[parameter.name], value.shape == parameter.tensor.shape else {
                throw CheckpointError.unexpectedValue(
                    file: path, key: parameter.name, expected: "values of shape \(parameter.tensor.shape)",
                    got: values[parameter.name].map { "\($0.shape)" } ?? "none")
            }
            parameter.load(value)
        }
        for (prefix, statistics) in learner.statistics {
            guard let mean = values[prefix + "running_mean"], let variance = values[prefix + "running_var"],
                mean.count == statistics.mean.count, variance.count == mean.count
            else {
                throw CheckpointError.unexpectedValue(
                    file: path, key: prefix + "running_mean", expected: "\(statistics.mean.count) averages",
                    got: "others or none")
            }
            statistics.load(mean: mean.floats, variance: variance.floats)
        }
        let moments = try SafetensorsFile(path: directory.appending(path: "optimizer.safetensors").path).tensors
        var own: [String: AdamW.Moments] = [:]
        for parameter in parameters {
            guard let first = moments[parameter.name + ".first"], let second = moments[parameter.name + ".second"]
            else { continue }
            own[parameter.name] = AdamW.Moments(first: first.floats, second: second.floats)
        }
        optimizer.resume(stepCount: state.step, moments: own)
        return state
    }
}
