/// Scenes of several objects with questions, drawn when they are asked for.
///
/// A scene belongs to the split that its content decides (`Scene.split`), so splits never share one, whatever the seeds.
/// Everything is computed in whole numbers from SplitMix64: the same bytes on every machine.
public struct ScenesDataset: TrainingDataset {
    /// The split.
    public let split: DataSplit
    /// The number of scenes.
    public let count: Int
    /// What the scenes are drawn with.
    public let seed: UInt64
    /// Questions for each scene; a scene of one object may have fewer.
    public let questionsPerScene: Int
    /// What is asked about.
    public let kinds: [SceneQuestionKind]
    /// Draws the pictures.
    public let renderer: SceneRenderer

    /// Scenes of a split; `side` is the pictures' width and height, `labelGrid` the grid of dense labels if wanted.
    public init(
        split: DataSplit, count: Int, seed: UInt64, questionsPerScene: Int = 6,
        kinds: [SceneQuestionKind] = SceneQuestionKind.allCases, side: Int = 128, labelGrid: Int? = nil
    ) {
        self.kinds = kinds
        self.split = split
        self.count = count
        self.seed = seed
        self.questionsPerScene = questionsPerScene
        renderer = SceneRenderer(side: side, labelGrid: labelGrid)
    }

    /// "scenes"
    public var name: String { "scenes" }

    /// The scene at an index, and the questions about it.
    public func scene(at index: Int) -> (scene: Scene, questions: [QuestionAnswer]) {
        let stream = UInt64(DataSplit.allCases.firstIndex(of: split) ?? 0)
        var random = SplitMix64(seed: seed, stream: 0x5CE4E + stream, index: index)
        let scene = SceneGenerator(split: split).scene(drawing: &random)
        let asker = SceneQuestions(scene: scene, mayMentionHeldOut: split == .heldOut, kinds: kinds)
        return (scene, asker.questions(count: questionsPerScene, drawing: &random))
    }

    /// The picture, questions, caption and dense labels at an index.
    public func example(at index: Int) -> TrainingExample {
        let (scene, questions) = scene(at: index)
        let (image, labels) = renderer.picture(of: scene)
        return TrainingExample(
            image: .pixels(image), turns: questions, caption: scene.caption, labels: labels,
            origin: "\(split.rawValue) scene \(index)")
    }
}
