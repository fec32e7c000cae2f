import VisionEncoder

/// Grids of tinted photographs of Fashion-MNIST with questions, drawn when they are asked for.
///
/// Splits share no photograph. Everything is computed in whole numbers from SplitMix64.
public struct FashionDataset: TrainingDataset {
    /// The photographs.
    public let photos: FashionPhotos
    /// The split the photographs are of.
    public let split: DataSplit
    /// The number of scenes.
    public let count: Int
    /// What the scenes are drawn with.
    public let seed: UInt64
    /// Questions for each scene, at most.
    public let questionsPerScene: Int
    /// Width and height of the pictures.
    public let side: Int
    /// Cells along a side of the dense labels; nil for none.
    public let labelGrid: Int?

    /// Scenes of the photographs in `directory` that belong to a split.
    ///
    /// - Throws: As `FashionPhotos`.
    public init(
        directory: String, split: DataSplit, count: Int, seed: UInt64, questionsPerScene: Int = 6, side: Int = 128,
        labelGrid: Int? = nil
    ) throws {
        self.init(
            photos: try FashionPhotos(directory: directory, split: split), split: split, count: count, seed: seed,
            questionsPerScene: questionsPerScene, side: side, labelGrid: labelGrid)
    }

    init(
        photos: FashionPhotos, split: DataSplit, count: Int, seed: UInt64, questionsPerScene: Int = 6, side: Int = 128,
        labelGrid: Int? = nil
    ) {
        precondition(side > 0 && (labelGrid.map { $0 > 0 && $0 <= side } ?? true))
        self.photos = photos
        self.split = split
        self.count = count
        self.seed = seed
        self.questionsPerScene = questionsPerScene
        self.side = side
        self.labelGrid = labelGrid
    }

    /// "fashion"
    public var name: String { "fashion" }

    /// The scene at an index, the questions about it and its caption.
    public func scene(at index: Int) -> (scene: FashionScene, questions: [QuestionAnswer], caption: String) {
        let stream = UInt64(DataSplit.allCases.firstIndex(of: split) ?? 0)
        var random = SplitMix64(seed: seed, stream: 0xFA54 + stream, index: index)
        let scene = FashionScene(of: photos, drawing: &random)
        let questions = FashionQuestions(scene: scene).questions(count: questionsPerScene, drawing: &random)
        return (scene, questions, scene.caption(drawing: &random))
    }

    /// The picture, questions, caption and dense labels at an index.
    public func example(at index: Int) -> TrainingExample {
        let (scene, questions, caption) = scene(at: index)
        return TrainingExample(
            image: .pixels(picture(of: scene)), turns: questions, caption: caption,
            labels: labelGrid.map { self.denseLabels(of: scene, grid: $0) },
            origin: "\(split.rawValue) fashion scene \(index)")
    }

    private func scaled(_ units: Int) -> Int { units * side / 128 }

    /// Every photograph enlarged bilinearly, in 1/256, and its grey mixed from the ground to the tint.
    func picture(of scene: FashionScene) -> RGBImage {
        var pixels = [UInt8](repeating: UInt8(clamping: scene.ground), count: side * side * 3)
        let size = FashionPhotos.side
        // Lines between the cells: without them nobody could tell the row of a lone photograph.
        for edge in 1..<scene.grid {
            let at = scaled(edge * (128 / scene.grid))
            for along in 0..<side {
                for channel in 0..<3 {
                    pixels[(at * side + along) * 3 + channel] = UInt8(scene.ground + 40)
                    pixels[(along * side + at) * 3 + channel] = UInt8(scene.ground + 40)
                }
            }
        }
        for item in scene.items {
            let (left, top, extent) = (scaled(item.x), scaled(item.y), max(1, scaled(item.side)))
            let channels = item.tint.channels
            let start = item.photo * size * size
            // For every column and row the pixel before it and how far it lies beyond, as centres are laid on centres.
            let taps = (0..<extent).map { index in
                let at = max(0, (2 * index + 1) * size * 128 / extent - 128)
                return (first: min(at >> 8, size - 1), second: min((at >> 8) + 1, size - 1), weight: at & 255)
            }
            for (y, row) in taps.enumerated() where top + y < side {
                let (upper, lower) = (start + row.first * size, start + row.second * size)
                for (x, column) in taps.enumerated() where left + x < side {
                    func across(_ line: Int) -> Int {
                        Int(photos.pixels[line + column.first]) * (256 - column.weight)
                            + Int(photos.pixels[line + column.second]) * column.weight
                    }
                    let value = (across(upper) * (256 - row.weight) + across(lower) * row.weight) >> 16
                    let at = ((top + y) * side + left + x) * 3
                    for channel in 0..<3 {
                        let mixed = scene.ground * (255 - value) + channels[channel] * value + 127
                        pixels[at + channel] = UInt8(clamping: mixed / 255)
                    }
                }
            }
        }
        return RGBImage(width: side, height: side, pixels: pixels)
    }

    /// A cell shows the photograph whose square takes most of it, from 1/2 on; below 1/8 it shows the ground.
    private func denseLabels(of scene: FashionScene, grid: Int) -> DenseLabels {
        var kinds = [UInt8](repeating: 0, count: grid * grid)
        var tints = kinds
        func edge(_ cell: Int) -> Int { cell * side / grid }
        for row in 0..<grid {
            for column in 0..<grid {
                let (top, bottom, left, right) = (edge(row), edge(row + 1), edge(column), edge(column + 1))
                let area = (bottom - top) * (right - left)
                var (most, total) = (0, 0)
                for item in scene.items {
                    let (x, y, extent) = (scaled(item.x), scaled(item.y), scaled(item.side))
                    let share =
                        max(0, min(right, x + extent) - max(left, x)) * max(0, min(bottom, y + extent) - max(top, y))
                    total += share
                    if share > most {
                        most = share
                        kinds[row * grid + column] = item.kind.rawValue + 1
                        tints[row * grid + column] = item.tint.rawValue + 1
                    }
                }
                if most * 2 < area {
                    let value = total * 8 < area ? 0 : DenseLabels.ignored
                    (kinds[row * grid + column], tints[row * grid + column]) = (value, value)
                }
            }
        }
        return DenseLabels(
            grid: grid,
            fields: [
                .init(name: "kind", classes: ["background"] + FashionKind.allCases.map(\.name), values: kinds),
                .init(name: "colour", classes: ["background"] + FashionTint.allCases.map(\.name), values: tints),
            ])
    }
}
