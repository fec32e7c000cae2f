/// Words that say which objects are meant, by any of size, colour and shape: "large red object".
struct SceneReference: Sendable, Hashable {
    var size: SceneSize?
    var color: SceneColor?
    var shape: SceneShape?

    /// Which of its properties a reference names.
    struct Properties: OptionSet, Sendable {
        let rawValue: Int
        static let size = Properties(rawValue: 1)
        static let color = Properties(rawValue: 2)
        static let shape = Properties(rawValue: 4)
        /// Every choice but none.
        static let all = (1...7).map(Properties.init(rawValue:))
    }

    init(size: SceneSize? = nil, color: SceneColor? = nil, shape: SceneShape? = nil) {
        (self.size, self.color, self.shape) = (size, color, shape)
    }

    /// The given properties of an object.
    init(_ object: SceneObject, _ properties: Properties) {
        size = properties.contains(.size) ? object.size : nil
        color = properties.contains(.color) ? object.color : nil
        shape = properties.contains(.shape) ? object.shape : nil
    }

    /// Whether an object is meant.
    func matches(_ object: SceneObject) -> Bool {
        (size == nil || size == object.size) && (color == nil || color == object.color)
            && (shape == nil || shape == object.shape)
    }

    /// How many objects are meant.
    func count(in scene: Scene) -> Int { scene.objects.count { matches($0) } }

    /// Whether the reference names a combination that only the held-out split may mention.
    var isHeldOut: Bool {
        guard let shape, let color else { return false }
        return Scene.isHeldOut(shape, color)
    }

    /// The words for one object.
    var singular: String { words(shape?.name ?? "object") }
    /// The words for several.
    var plural: String { words(shape?.plural ?? "objects") }

    private func words(_ noun: String) -> String {
        [size?.name, color?.name, noun].compactMap { $0 }.joined(separator: " ")
    }
}
