/// Draws scenes for one split.
struct SceneGenerator: Sendable {
    let split: DataSplit

    /// A scene of the split, drawn again until its identity belongs there.
    ///
    /// One scene in ten does for validation and test; the held-out split gets its combination put in.
    func scene(drawing random: inout SplitMix64) -> Scene {
        while true {
            if let scene = candidate(&random), scene.split == split { return scene }
        }
    }

    /// Objects one after the other; nil if one of them finds no room.
    private func candidate(_ random: inout SplitMix64) -> Scene? {
        let count = random.value(in: 1...Scene.maximumObjectCount)
        // Half of the scenes repeat few shapes and colours, so that there is something to count.
        var shapes = SceneShape.allCases
        var colors = SceneColor.allCases
        if random.coin() {
            shapes = Array(random.shuffled(shapes).prefix(random.value(in: 1...3)))
            colors = Array(random.shuffled(colors).prefix(random.value(in: 1...3)))
        }
        var objects: [SceneObject] = []
        for index in 0..<count {
            guard let kind = kind(shapes, colors, mustBeHeldOut: split == .heldOut && index == 0, &random),
                let object = placed(kind, among: objects, &random)
            else { return nil }
            objects.append(object)
        }
        objects.sort { ($0.y, $0.x) < ($1.y, $1.x) }
        return Scene(objects: objects, ground: SceneGround(drawing: &random))
    }

    private func kind(
        _ shapes: [SceneShape], _ colors: [SceneColor], mustBeHeldOut: Bool, _ random: inout SplitMix64
    ) -> (SceneShape, SceneColor)? {
        for _ in 0..<8 {
            guard var shape = random.element(of: shapes), var color = random.element(of: colors) else { return nil }
            if mustBeHeldOut {
                shape = SceneShape.allCases[random.below(SceneShape.allCases.count)]
                color = SceneColor.allCases.first { Scene.isHeldOut(shape, $0) } ?? color
            }
            if split == .heldOut || !Scene.isHeldOut(shape, color) { return (shape, color) }
        }
        return nil
    }

    private func placed(
        _ kind: (shape: SceneShape, color: SceneColor), among others: [SceneObject], _ random: inout SplitMix64
    ) -> SceneObject? {
        let size = SceneSize.allCases[random.below(2)]
        let radius = random.value(in: size.radii)
        let room = radius + 2...Scene.extent - radius - 2
        let tint = (0..<3).map { _ in Int8(random.value(in: -10...10)) }
        for _ in 0..<40 {
            let (x, y) = (random.value(in: room), random.value(in: room))
            let isFree = others.allSatisfy { max(abs($0.x - x), abs($0.y - y)) > $0.radius + radius + 2 }
            guard isFree else { continue }
            return SceneObject(
                shape: kind.shape, color: kind.color, size: size, x: x, y: y, radius: radius, tint: tint)
        }
        return nil
    }
}
