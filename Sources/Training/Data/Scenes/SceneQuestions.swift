/// Asks about a scene: yes and no by the toss of a coin before a question is looked for, so that neither the question's
/// words nor the scene give the answer away.
struct SceneQuestions {
    let scene: Scene
    /// Whether combinations kept for the held-out split may be mentioned.
    let mayMentionHeldOut: Bool
    /// What is asked about, in turn; about anything where nothing of it can be asked.
    var kinds = SceneQuestionKind.allCases

    /// How far apart in units two objects must be for one to be called left of the other, and how far from the middle
    /// an object must be for its quarter to be named.
    private static let margin = 10

    /// Up to `count` different questions, of kinds in turn.
    func questions(count: Int, drawing random: inout SplitMix64) -> [QuestionAnswer] {
        let asked = questions(of: kinds, count: count, drawing: &random)
        guard asked.isEmpty else { return asked }
        return questions(of: SceneQuestionKind.allCases, count: count, drawing: &random)
    }

    private func questions(
        of wanted: [SceneQuestionKind], count: Int, drawing random: inout SplitMix64
    ) -> [QuestionAnswer] {
        var asked: [QuestionAnswer] = []
        var kinds: [SceneQuestionKind] = []
        for _ in 0..<count * 4 where asked.count < count {
            if kinds.isEmpty { kinds = random.shuffled(wanted) }
            guard let kind = kinds.popLast(), let (question, answer) = question(kind, &random),
                !asked.contains(where: { $0.question == question })
            else { continue }
            asked.append(QuestionAnswer(question: question, answer: answer, type: kind.rawValue))
        }
        return asked
    }

    private typealias Asked = (question: String, answer: String)

    private func question(_ kind: SceneQuestionKind, _ random: inout SplitMix64) -> Asked? {
        switch kind {
        case .existence: return existence(&random)
        case .count: return count(&random)
        case .color:
            guard let (object, reference) = unique([.size, .shape], &random) else { return nil }
            return ("what colour is the \(reference.singular)?", object.color.name)
        case .shape:
            guard let (object, reference) = unique([.size, .color], &random) else { return nil }
            return ("what shape is the \(reference.singular)?", object.shape.name)
        case .size:
            guard let (object, reference) = unique([.color, .shape], &random) else { return nil }
            return ("is the \(reference.singular) small or large?", object.size.name)
        case .position: return position(&random)
        case .relation: return relation(&random)
        case .comparison: return random.coin() ? comparisonOfCounts(&random) : comparisonOfSizes(&random)
        }
    }

    /// An object, and words out of `properties` that mean it alone.
    private func unique(
        _ properties: SceneReference.Properties, _ random: inout SplitMix64,
        where isSuitable: (SceneObject) -> Bool = { _ in true }
    ) -> (SceneObject, SceneReference)? {
        for object in random.shuffled(scene.objects.filter(isSuitable)) {
            let references = SceneReference.Properties.all.filter { $0.isSubset(of: properties) }
                .map { SceneReference(object, $0) }.filter { $0.count(in: scene) == 1 }
            if let reference = random.element(of: references) { return (object, reference) }
        }
        return nil
    }

    /// The properties that are asked for as groups: colour, shape, both, or all three.
    private static let groups: [SceneReference.Properties] = [
        .color, .shape, [.color, .shape], [.color, .shape], [.size, .color, .shape],
    ]

    private func existence(_ random: inout SplitMix64) -> Asked? {
        guard let properties = random.element(of: Self.groups) else { return nil }
        let answer = random.coin()
        for _ in 0..<16 {
            guard let reference = answer ? present(properties, &random) : imagined(properties, &random) else {
                return nil
            }
            if (reference.count(in: scene) > 0) == answer, mayMentionHeldOut || !reference.isHeldOut {
                let article = reference.singular.hasPrefix("o") ? "an" : "a"
                return ("is there \(article) \(reference.singular)?", answer ? "yes" : "no")
            }
        }
        return nil
    }

    private func present(_ properties: SceneReference.Properties, _ random: inout SplitMix64) -> SceneReference? {
        random.element(of: scene.objects).map { SceneReference($0, properties) }
    }

    /// Something that may or may not be there: often an object of the scene with one property changed.
    private func imagined(_ properties: SceneReference.Properties, _ random: inout SplitMix64) -> SceneReference? {
        let other = SceneReference(
            size: random.element(of: SceneSize.allCases), color: random.element(of: SceneColor.allCases),
            shape: random.element(of: SceneShape.allCases))
        guard let object = random.element(of: scene.objects) else { return nil }
        var reference = SceneReference(object, [.size, .color, .shape])
        switch random.below(4) {
        case 0: reference.color = other.color
        case 1: reference.shape = other.shape
        case 2: (reference.color, reference.shape) = (other.color, other.shape)
        default: reference = other
        }
        return SceneReference(
            size: properties.contains(.size) ? reference.size : nil,
            color: properties.contains(.color) ? reference.color : nil,
            shape: properties.contains(.shape) ? reference.shape : nil)
    }

    /// A count is chosen among those the scene offers, each as likely as the others, and then something of that count.
    private func count(_ random: inout SplitMix64) -> Asked? {
        var groups: [Int: [SceneReference]] = [:]
        func add(_ reference: SceneReference) {
            guard mayMentionHeldOut || !reference.isHeldOut else { return }
            let count = reference.count(in: scene)
            if groups[count]?.contains(reference) != true { groups[count, default: []].append(reference) }
        }
        add(SceneReference())
        for object in scene.objects {
            for properties in [SceneReference.Properties.color, .shape, [.color, .shape], .size] {
                add(SceneReference(object, properties))
            }
        }
        for properties in [SceneReference.Properties.color, .shape] {
            if let reference = imagined(properties, &random) { add(reference) }
        }
        guard let number = random.element(of: groups.keys.sorted()),
            let reference = random.element(of: groups[number] ?? [])
        else { return nil }
        return ("how many \(reference.plural) are there?", String(number))
    }

    private func position(_ random: inout SplitMix64) -> Asked? {
        let middle = Scene.extent / 2
        let found = unique([.size, .color, .shape], &random) {
            abs($0.x - middle) >= Self.margin && abs($0.y - middle) >= Self.margin
        }
        guard let (object, reference) = found else { return nil }
        let answer = "\(object.y < middle ? "top" : "bottom") \(object.x < middle ? "left" : "right")"
        return ("where is the \(reference.singular)?", answer)
    }

    private func relation(_ random: inout SplitMix64) -> Asked? {
        let answer = random.coin()
        let isAcross = random.coin()
        for _ in 0..<8 {
            guard let (a, first) = unique([.size, .color, .shape], &random),
                let (b, second) = unique([.size, .color, .shape], &random, where: { $0 != a })
            else { return nil }
            let distance = isAcross ? b.x - a.x : b.y - a.y
            guard abs(distance) >= Self.margin else { continue }
            let isBefore = (distance > 0) == answer
            let word = isAcross ? (isBefore ? "left of" : "right of") : (isBefore ? "above" : "below")
            return ("is the \(first.singular) \(word) the \(second.singular)?", answer ? "yes" : "no")
        }
        return nil
    }

    private func comparisonOfCounts(_ random: inout SplitMix64) -> Asked? {
        let properties: SceneReference.Properties = random.coin() ? .color : .shape
        let answer = random.coin()
        for _ in 0..<8 {
            guard let a = present(properties, &random), let b = imagined(properties, &random) else { return nil }
            let (more, fewer) = a.count(in: scene) > b.count(in: scene) ? (a, b) : (b, a)
            guard more.count(in: scene) > fewer.count(in: scene) else { continue }
            let (first, second) = answer ? (more, fewer) : (fewer, more)
            return ("are there more \(first.plural) than \(second.plural)?", answer ? "yes" : "no")
        }
        return nil
    }

    private func comparisonOfSizes(_ random: inout SplitMix64) -> Asked? {
        let answer = random.coin()
        guard let (large, first) = unique([.color, .shape], &random, where: { $0.size == .large }),
            let (_, second) = unique([.color, .shape], &random, where: { $0.size == .small && $0 != large })
        else { return nil }
        let (a, b) = answer ? (first, second) : (second, first)
        return ("is the \(a.singular) larger than the \(b.singular)?", answer ? "yes" : "no")
    }
}
