/// The kinds of questions about grids of photographs; raw values are the types accuracy is broken down by.
public enum FashionQuestionKind: String, CaseIterable, Sendable {
    /// "what is in row 1 column 2?", "what is the red item?"
    case kind
    /// "what colour is the bag?"
    case color = "colour"
    /// "where is the red bag?" row and column
    case place
    /// "how many bags are there?"
    case count
    /// "is there a red bag?" yes, no
    case existence = "exist"

    /// Every answer there can be, in a fixed order.
    public var answers: [String] {
        switch self {
        case .kind: FashionKind.allCases.map(\.name)
        case .color: FashionTint.allCases.map(\.name)
        case .place: (1...4).flatMap { row in (1...4).map { "row \(row) column \($0)" } }
        case .count: (0...16).map(String.init)
        case .existence: ["no", "yes"]
        }
    }
}

/// Asks about a grid of photographs.
struct FashionQuestions {
    let scene: FashionScene

    func questions(count: Int, drawing random: inout SplitMix64) -> [QuestionAnswer] {
        var asked: [QuestionAnswer] = []
        var kinds: [FashionQuestionKind] = []
        for _ in 0..<count * 4 where asked.count < count {
            if kinds.isEmpty { kinds = random.shuffled(FashionQuestionKind.allCases) }
            guard let kind = kinds.popLast(), let (question, answer) = question(kind, &random),
                !asked.contains(where: { $0.question == question })
            else { continue }
            asked.append(QuestionAnswer(question: question, answer: answer, type: kind.rawValue))
        }
        return asked
    }

    /// What words mean: a kind, a colour, or both.
    private struct Reference: Hashable {
        var kind: FashionKind?
        var tint: FashionTint?

        func count(in scene: FashionScene) -> Int {
            scene.items.count { (kind == nil || kind == $0.kind) && (tint == nil || tint == $0.tint) }
        }
        var singular: String { words(kind?.name ?? "item") }
        var plural: String { words(kind?.plural ?? "items") }
        private func words(_ noun: String) -> String { [tint?.name, noun].compactMap { $0 }.joined(separator: " ") }
    }

    private func question(_ kind: FashionQuestionKind, _ random: inout SplitMix64) -> (String, String)? {
        guard let item = random.element(of: scene.items) else { return nil }
        let (byTint, byKind) = (Reference(tint: item.tint), Reference(kind: item.kind))
        switch kind {
        case .kind:
            if random.coin(), byTint.count(in: scene) == 1 {
                return ("what is the \(byTint.singular)?", item.kind.name)
            }
            return ("what is in \(item.place)?", item.kind.name)
        case .color:
            if random.coin(), byKind.count(in: scene) == 1 {
                return ("what colour is the \(byKind.singular)?", item.tint.name)
            }
            return ("what colour is the item in \(item.place)?", item.tint.name)
        case .place:
            let references = [byTint, byKind, Reference(kind: item.kind, tint: item.tint)]
            guard let reference = random.element(of: references.filter { $0.count(in: scene) == 1 }) else { return nil }
            return ("where is the \(reference.singular)?", item.place)
        case .count: return count(&random)
        case .existence: return existence(&random)
        }
    }

    private func imagined(_ form: Int, _ random: inout SplitMix64) -> Reference? {
        guard let item = random.element(of: scene.items) else { return nil }
        var reference = Reference(kind: item.kind, tint: item.tint)
        let change = random.below(3)
        if change != 0 { reference.kind = random.element(of: FashionKind.allCases) }
        if change != 1 { reference.tint = random.element(of: FashionTint.allCases) }
        if form == 0 { reference.kind = nil }
        if form == 1 { reference.tint = nil }
        return reference
    }

    private func present(_ form: Int, _ random: inout SplitMix64) -> Reference? {
        random.element(of: scene.items).map {
            Reference(kind: form == 0 ? nil : $0.kind, tint: form == 1 ? nil : $0.tint)
        }
    }

    private func count(_ random: inout SplitMix64) -> (String, String)? {
        var groups: [Int: [Reference]] = [:]
        func add(_ reference: Reference?) {
            guard let reference else { return }
            let count = reference.count(in: scene)
            if groups[count]?.contains(reference) != true { groups[count, default: []].append(reference) }
        }
        add(Reference())
        for item in scene.items {
            add(Reference(tint: item.tint))
            add(Reference(kind: item.kind))
        }
        add(imagined(0, &random))
        add(imagined(1, &random))
        guard let number = random.element(of: groups.keys.sorted()),
            let reference = random.element(of: groups[number] ?? [])
        else { return nil }
        return ("how many \(reference.plural) are there?", String(number))
    }

    private func existence(_ random: inout SplitMix64) -> (String, String)? {
        let (form, answer) = (random.below(3), random.coin())
        for _ in 0..<16 {
            guard let reference = answer ? present(form, &random) : imagined(form, &random) else { return nil }
            guard (reference.count(in: scene) > 0) == answer else { continue }
            let phrase = reference.singular
            let article =
                reference.kind == .trousers && reference.tint == nil
                ? "" : "aeio".contains(phrase.prefix(1)) ? "an " : "a "
            return ("is there \(article)\(phrase)?", answer ? "yes" : "no")
        }
        return nil
    }
}
