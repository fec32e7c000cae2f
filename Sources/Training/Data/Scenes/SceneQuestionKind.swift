/// The kinds of questions about scenes; raw values are the types that accuracy is broken down by.
public enum SceneQuestionKind: String, CaseIterable, Sendable {
    /// "is there a red circle?" yes, no
    case existence = "exist"
    /// "how many red circles are there?" 0 to 6
    case count
    /// "what colour is the large circle?"
    case color = "colour"
    /// "what shape is the red object?"
    case shape
    /// "is the red circle small or large?"
    case size
    /// "where is the red circle?" one of the four quarters
    case position
    /// "is the red circle left of the star?" yes, no
    case relation
    /// "are there more circles than stars?", "is the red circle larger than the star?" yes, no
    case comparison

    /// Every answer there can be, in a fixed order.
    public var answers: [String] {
        switch self {
        case .existence, .relation, .comparison: ["no", "yes"]
        case .count: (0...Scene.maximumObjectCount).map(String.init)
        case .color: SceneColor.allCases.map(\.name)
        case .shape: SceneShape.allCases.map(\.name)
        case .size: SceneSize.allCases.map(\.name)
        case .position: ["top left", "top right", "bottom left", "bottom right"]
        }
    }
}
