import Foundation
import Testing
import VisionEncoder

@testable import Training

@Suite struct ScenesTests {
    private static func dataset(_ split: DataSplit, _ count: Int = 2000, seed: UInt64 = 7) -> ScenesDataset {
        ScenesDataset(split: split, count: count, seed: seed)
    }

    @Test("splits share no scene whatever their seeds, and only the held-out one shows the combinations kept for it")
    func disjointSplits() {
        var owners: [UInt64: DataSplit] = [:]
        for split in DataSplit.allCases {
            for seed: UInt64 in [1, 2] {
                let dataset = Self.dataset(split, seed: seed)
                for index in 0..<dataset.count {
                    let scene = dataset.scene(at: index).scene
                    let owner = owners.updateValue(split, forKey: scene.identity)
                    #expect(owner == nil || owner == split)
                    #expect(scene.objects.contains(where: \.isHeldOut) == (split == .heldOut))
                }
            }
        }
        #expect(Set(owners.values) == Set(DataSplit.allCases))
    }

    @Test("questions are of the kinds that are wanted, in the same scenes; of any where none of these can be asked")
    func kinds() {
        let wanted = [SceneQuestionKind.relation, .position]
        let some = ScenesDataset(split: .train, count: 300, seed: 7, kinds: wanted)
        var others = 0
        for index in 0..<some.count {
            let (scene, questions) = some.scene(at: index)
            #expect(scene.identity == Self.dataset(.train).scene(at: index).scene.identity && !questions.isEmpty)
            let types = Set(questions.map(\.type))
            let isWanted = types.isSubset(of: wanted.map(\.rawValue))
            #expect(isWanted || types.isDisjoint(with: wanted.map(\.rawValue)))
            if !isWanted { others += 1 }
        }
        #expect(others < 60)
    }

    @Test("no question outside the held-out split mentions a combination kept for it, and there many do")
    func mentions() {
        let combinations = SceneShape.allCases.flatMap { shape in
            SceneColor.allCases.filter { Scene.isHeldOut(shape, $0) }.flatMap {
                ["\($0.name) \(shape.name)", "\($0.name) \(shape.plural)"]
            }
        }
        #expect(combinations.count == 12)
        for split in DataSplit.allCases {
            let dataset = Self.dataset(split)
            let questions = (0..<dataset.count).flatMap { dataset.scene(at: $0).questions }
            let mentioning = questions.count { turn in combinations.contains { turn.question.contains($0) } }
            if split == .heldOut { #expect(mentioning > 500) } else { #expect(mentioning == 0) }
        }
    }

    @Test("objects have room between them, lie inside and are in raster order")
    func layout() {
        let dataset = Self.dataset(.train)
        var counts: [Int: Int] = [:]
        for index in 0..<dataset.count {
            let objects = dataset.scene(at: index).scene.objects
            counts[objects.count, default: 0] += 1
            for (i, a) in objects.enumerated() {
                #expect(a.x >= a.radius && a.x + a.radius <= 128 && a.y >= a.radius && a.y + a.radius <= 128)
                #expect(a.size.radii.contains(a.radius))
                for b in objects[(i + 1)...] {
                    #expect(max(abs(a.x - b.x), abs(a.y - b.y)) > a.radius + b.radius)
                    #expect((a.y, a.x) < (b.y, b.x))
                }
            }
        }
        #expect(Set(counts.keys) == Set(1...6))
        #expect(counts.values.allSatisfy { $0 > dataset.count / 15 })
    }

    @Test(
        "answers are from the closed lists, none above half of its kind, and yes as often as no",
        arguments: DataSplit.allCases)
    func balance(split: DataSplit) throws {
        let dataset = Self.dataset(split, 2500)
        let questions = (0..<dataset.count).flatMap { dataset.scene(at: $0).questions }
        for kind in SceneQuestionKind.allCases {
            let answers = questions.filter { $0.type == kind.rawValue }.map(\.answer)
            #expect(answers.count > 1000, "\(kind): \(answers.count)")
            #expect(Set(answers) == Set(kind.answers))
            let most = kind.answers.map { answer in answers.count { $0 == answer } }.max() ?? 0
            // Two answers of equal chance: four standard deviations above a half.
            let limit = Double(answers.count) / 2 + 2 * Double(answers.count).squareRoot()
            #expect(Double(most) <= limit, "\(kind): \(most) of \(answers.count)")
        }
    }

    @Test(
        "every answer is what reading the question word by word and counting objects gives",
        arguments: DataSplit.allCases)
    func answers(split: DataSplit) throws {
        let dataset = Self.dataset(split, 400, seed: 11)
        var kinds: Set<String> = []
        for index in 0..<dataset.count {
            let (scene, questions) = dataset.scene(at: index)
            #expect(Set(questions.map(\.question)).count == questions.count)
            for turn in questions {
                kinds.insert(turn.type)
                #expect(SceneReader(scene).answer(turn.question) == turn.answer, "\(scene.objects): \(turn)")
            }
        }
        #expect(kinds.count == SceneQuestionKind.allCases.count)
    }

    @Test("the questions about a scene made by hand have the answers that a person gives")
    func byHand() {
        func object(_ size: SceneSize, _ color: SceneColor, _ shape: SceneShape, _ x: Int, _ y: Int) -> SceneObject {
            SceneObject(
                shape: shape, color: color, size: size, x: x, y: y, radius: size.radii.lowerBound, tint: [0, 0, 0])
        }
        var random = SplitMix64(seed: 3)
        let scene = Scene(
            objects: [
                object(.large, .red, .circle, 30, 30), object(.small, .red, .star, 100, 34),
                object(.small, .blue, .circle, 34, 100),
            ], ground: SceneGround(drawing: &random))
        #expect(scene.caption == "large red circle, small red star, small blue circle")
        let known = [
            "is there a red circle?": "yes", "is there a blue star?": "no", "how many circles are there?": "2",
            "how many red objects are there?": "2", "how many objects are there?": "3",
            "what colour is the star?": "red", "what shape is the blue object?": "circle",
            "where is the star?": "top right", "where is the blue object?": "bottom left",
            "is the star right of the blue circle?": "yes", "is the red circle below the blue circle?": "no",
            "are there more circles than stars?": "yes", "are there more blue objects than red objects?": "no",
            "is the star larger than the red circle?": "no", "is the red circle small or large?": "large",
        ]
        for (question, answer) in known { #expect(SceneReader(scene).answer(question) == answer, "\(question)") }
        var found: Set<String> = []
        for _ in 0..<300 {
            for turn in SceneQuestions(scene: scene, mayMentionHeldOut: false).questions(count: 8, drawing: &random) {
                if let answer = known[turn.question] {
                    #expect(turn.answer == answer, "\(turn)")
                    found.insert(turn.question)
                }
            }
        }
        #expect(found.count >= 13)
    }

    @Test("the order of an epoch is a permutation decided by seed and epoch")
    func order() {
        let order = ExampleOrder(count: 100, seed: 4, epoch: 2)
        #expect((0..<100).map { order[$0] }.sorted() == Array(0..<100))
        #expect((0..<100).map { order[$0] } == (0..<100).map { ExampleOrder(count: 100, seed: 4, epoch: 2)[$0] })
        #expect((0..<100).map { order[$0] } != (0..<100).map { ExampleOrder(count: 100, seed: 4, epoch: 3)[$0] })
        #expect((0..<100).map { order[$0] } != (0..<100).map { ExampleOrder(count: 100, seed: 5, epoch: 2)[$0] })
    }
}

/// Answers questions about a scene from the list of its objects: an oracle that shares nothing with the generator but the words.
struct SceneReader {
    private let objects: [[String: String]]
    private let scene: Scene

    init(_ scene: Scene) {
        self.scene = scene
        objects = scene.objects.map {
            ["size": "\($0.size)", "colour": "\($0.color)", "shape": "\($0.shape)", "object": "object"]
        }
    }

    /// The indices of the objects that have all the words of a phrase.
    private func meant(_ phrase: some StringProtocol) -> [Int] {
        let words = phrase.split(separator: " ").map { word in
            word == "crosses"
                ? "cross" : word == "cross" || !word.hasSuffix("s") ? String(word) : String(word.dropLast())
        }
        return objects.indices.filter { index in words.allSatisfy { objects[index].values.contains($0) } }
    }

    func answer(_ question: String) -> String? {
        func yes(_ truth: Bool) -> String { truth ? "yes" : "no" }
        if let match = question.wholeMatch(of: /is there an? (.*)\?/) { return yes(!meant(match.1).isEmpty) }
        if let match = question.wholeMatch(of: /how many (.*) are there\?/) { return "\(meant(match.1).count)" }
        if let match = question.wholeMatch(of: /are there more (.*) than (.*)\?/) {
            return yes(meant(match.1).count > meant(match.2).count)
        }
        func only(_ phrase: Substring) -> SceneObject? {
            let found = meant(phrase)
            return found.count == 1 ? scene.objects[found[0]] : nil
        }
        if let match = question.wholeMatch(of: /what (colour|shape) is the (.*)\?/) {
            return only(match.2).map { match.1 == "shape" ? "\($0.shape)" : "\($0.color)" }
        }
        if let match = question.wholeMatch(of: /is the (.*) small or large\?/) {
            return only(match.1).map { "\($0.size)" }
        }
        if let match = question.wholeMatch(of: /where is the (.*)\?/) {
            guard let object = only(match.1), abs(object.x - 64) > 5, abs(object.y - 64) > 5 else { return nil }
            return (object.y < 64 ? "top" : "bottom") + (object.x < 64 ? " left" : " right")
        }
        if let match = question.wholeMatch(of: /is the (.*) (left of|right of|above|below|larger than) the (.*)\?/) {
            guard let a = only(match.1), let b = only(match.3), a != b else { return nil }
            switch match.2 {
            case "left of": return yes(a.x < b.x)
            case "right of": return yes(a.x > b.x)
            case "above": return yes(a.y < b.y)
            case "below": return yes(a.y > b.y)
            default: return yes(a.radius > b.radius + 3)
            }
        }
        return nil
    }
}
