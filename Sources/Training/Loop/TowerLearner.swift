import Foundation
import LLaVAPipeline
import ModelFiles
import NeuralNetwork
import Tensors
import VisionEncoder

/// A vision tower that learns, cell by cell, what is seen in a picture.
///
/// Each thing to be told about a data set's cells ("scenes/shape") has a linear head of its own on the normalised last
/// hidden state. Where labels lie on a coarser grid than the tower's, a head reads the mean of its cells; one label for
/// the whole picture is the coarsest. The heads are thrown away; `DenseHeads` saves them for a run to resume.
final class TowerLearner: Learner {
    private let tower: VisionTower
    private let heads: DenseHeads
    private let sources: [any TrainingDataset]
    private let validation: [any TrainingDataset]
    private let path: String
    private let grid: PatchGrid

    /// - Parameter base: what the recipe's relative paths begin at.
    init(_ recipe: Recipe, relativeTo base: URL) throws {
        path = Recipe.path(recipe.model, relativeTo: base)
        let tower = try VisionTower.load(from: path) { recipe.trains($0) }
        guard !tower.parameters.isEmpty else {
            let names = try CheckpointDirectory(path: path).tensors.keys.sorted()
            throw RecipeError.nothingTrained(patterns: recipe.trainable, examples: Array(names.prefix(3)))
        }
        self.tower = tower
        let grid = tower.processor.patchGrid(of: tower.tower)
        self.grid = grid
        let side = tower.processor.cropSize.width
        func opened(_ source: Recipe.DataSource) throws -> any TrainingDataset {
            try source.dataset(relativeTo: base, side: side, labelGrid: grid.width)
        }
        sources = try recipe.data.map(opened)
        validation = try (recipe.validation ?? []).map(opened)
        var fields: [DenseHeads.Field] = []
        for dataset in sources {
            guard let labels = try dataset.example(at: 0).labels else {
                throw RecipeError.invalid(
                    file: "the recipe", key: "data.set", expected: "a set that knows what is seen where",
                    got: dataset.name)
            }
            guard grid.width == grid.height, grid.width.isMultiple(of: labels.grid) else {
                throw RecipeError.invalid(
                    file: "the recipe", key: "data.set", expected: "labels on a divisor of the tower's \(grid)",
                    got: "a grid of \(labels.grid)")
            }
            for field in labels.fields {
                let name = "\(dataset.name)/\(field.name)"
                if !fields.contains(where: { $0.name == name }) {
                    fields.append(.init(name: name, classes: field.classes.count))
                }
            }
        }
        heads = DenseHeads(fields, size: tower.tower.config.hiddenSize, seed: recipe.seed)
    }

    var parameters: [Parameter] { tower.parameters + heads.parameters }
    var statistics: [String: RunningStatistics] { tower.statistics }
    var datasets: [any TrainingDataset] { sources }
    var maximumVisualTokens: Int? { nil }

    func origin(of place: ExampleStream.Place) -> String { "\(sources[place.source].name) \(place.index)" }

    func learn(_ places: [ExampleStream.Place], visualTokens: [Int]?, weight: Double) throws -> Trainer.Outcome {
        let batch = try batch(places.map { (sources[$0.source], $0.index) })
        var loss: Tensor?
        var (sum, labelled) = (0.0, 0)
        for (name, cells) in batch.cells.sorted(by: { $0.key < $1.key }) {
            // Every head counts alike, whether its pictures have one label or one for each cell.
            let part = crossEntropy(heads[name](cells.rows(of: batch.states)), targets: cells.targets)
                .scaled(by: 1 / Float(cells.targets.count * batch.cells.count))
            sum += Double(part.floats[0])
            labelled += cells.targets.count
            loss = loss.map { $0 + part } ?? part
        }
        loss?.backward(from: Tensor([Float(weight)], shape: [1]))
        return Trainer.Outcome(loss: sum, supervisedTokens: labelled, tokens: places.count * grid.count)
    }

    func evaluate(batch size: Int) throws -> [String: Double] {
        var counts: [String: (right: Int, all: Int)] = [:]
        try withoutGradients {
            for dataset in validation {
                for start in stride(from: 0, to: dataset.count, by: size) {
                    let end = min(dataset.count, start + size)
                    let batch = try batch((start..<end).map { (dataset, $0) })
                    for (name, cells) in batch.cells {
                        let logits = heads[name](cells.rows(of: batch.states))
                        logits.withFloats { values in
                            // What is only background is no achievement.
                            for (row, target) in cells.targets.enumerated() where target > 0 {
                                let own = values[row * logits.columns..<(row + 1) * logits.columns]
                                let best = own.indices.max { own[$0] < own[$1] } ?? own.startIndex
                                counts[name, default: (0, 0)].all += 1
                                counts[name, default: (0, 0)].right += best - own.startIndex == target ? 1 : 0
                            }
                        }
                    }
                }
            }
        }
        return counts.mapValues { Double($0.right) / Double($0.all) }
    }

    func write(to directory: URL) throws {
        try TrainedModel.write(
            directory: path, parameters: tower.parameters, statistics: tower.statistics, to: directory)
    }

    /// Pictures as the tower sees them, and what is labelled of them.
    private struct Batch {
        /// Normalised last hidden states, `[B · N, D]`.
        var states: Tensor
        /// By the name of a head.
        var cells: [String: LabelledCells]
    }

    private func batch(_ places: [(dataset: any TrainingDataset, index: Int)]) throws -> Batch {
        var cells: [String: LabelledCells] = [:]
        var pictures: [RGBImage] = []
        let examples = try places.mappedConcurrently { place in
            let example = try place.dataset.example(at: place.index)
            return (name: place.dataset.name, picture: try example.image?.decoded(), labels: example.labels)
        }
        for (name, picture, labels) in examples {
            guard let picture, let labels else { continue }
            pictures.append(picture)
            for field in labels.fields {
                cells["\(name)/\(field.name)", default: LabelledCells()]
                    .add(field, grid: labels.grid, image: pictures.count - 1, towerGrid: grid.width)
            }
        }
        let states = tower.tower.lastHiddenState(try tower.processor.pixelValues(of: pictures))  // [B, N, D]
        return Batch(
            states: heads.norm(states.reshaped(to: [states.rows, states.columns])),
            cells: cells.filter { !$0.value.targets.isEmpty })
    }
}

/// The cells of a batch that one head learns from.
private struct LabelledCells {
    private(set) var targets: [Int] = []
    /// For every label the tokens whose mean it is about.
    private var taps: [[(index: Int, weight: Float)]] = []
    private var isPooled = false

    mutating func add(_ field: DenseLabels.Field, grid: Int, image: Int, towerGrid: Int) {
        let factor = towerGrid / grid
        let weight = 1 / Float(factor * factor)
        isPooled = isPooled || factor > 1
        for (cell, value) in field.values.enumerated() where value != DenseLabels.ignored {
            let (row, column) = (cell / grid * factor, cell % grid * factor)
            targets.append(Int(value))
            taps.append(
                (0..<factor * factor).map { part in
                    let token = (row + part / factor) * towerGrid + column + part % factor
                    return (image * towerGrid * towerGrid + token, weight)
                })
        }
    }

    /// The rows a head reads, `[labels, D]`, of hidden states `[B · N, D]`.
    func rows(of states: Tensor) -> Tensor {
        isPooled ? states.combinedRows(taps) : states.gatheredRows(taps.map { $0[0].index })
    }
}

/// What reads labels off hidden states: a norm, and a linear map for every field.
struct DenseHeads {
    /// Something to be told about cells.
    struct Field {
        var name: String
        var classes: Int
    }

    let norm: LayerNorm
    let parameters: [Parameter]
    private let maps: [String: Linear]

    init(_ fields: [Field], size: Int, seed: UInt64) {
        let drawing = WeightReader(drawing: WeightInitializer(seed: seed ^ 0xDE45E))
        func maps(_ reader: WeightReader) -> [String: Linear] {
            Dictionary(
                uniqueKeysWithValues: fields.map { field in
                    let own = reader.scoped("heads.\(field.name)")
                    return (field.name, Linear(own, inputs: size, outputs: field.classes, hasBias: true))
                })
        }
        func norm(_ reader: WeightReader) -> LayerNorm {
            LayerNorm(reader.scoped("heads.norm"), size: size, epsilon: 1e-6)
        }
        _ = (norm(drawing), maps(drawing))
        let reader = WeightReader(drawing.drawn) { _ in true }
        self.norm = norm(reader)
        self.maps = maps(reader)
        parameters = reader.parameters
    }

    subscript(name: String) -> Linear {
        guard let map = maps[name] else { preconditionFailure("no head for \(name)") }
        return map
    }
}
