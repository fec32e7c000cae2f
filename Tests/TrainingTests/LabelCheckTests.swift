import Foundation
import TestSupport
import Testing

@testable import Tokenization
@testable import Training

@Suite struct LabelCheckTests {
    private static let turns = [
        TrainingTurn(from: "human", value: "<image>\nwhat colour is the large circle?"),
        TrainingTurn(from: "gpt", value: "red"),
        TrainingTurn(from: "human", value: "how many stars are there?"),
        TrainingTurn(from: "gpt", value: "two, I think"),
        TrainingTurn(from: "human", value: "is there a ring?"), TrainingTurn(from: "gpt", value: "no"),
    ]

    private static func trained(_ kind: VocabularyTrainer.Kind) throws -> any Tokenizer {
        var trainer = VocabularyTrainer(kind, size: 400)
        for turn in turns { trainer.add(turn.value + " " + turn.value) }
        let directory = try Fixtures.temporaryDirectory()
        for (name, data) in try trainer.files() { try data.write(to: directory.appending(path: name)) }
        return try TokenizerDirectory.tokenizer(in: directory)
    }

    private static func tokenizers() throws -> [any Tokenizer] {
        let tiny = Fixtures.directory.appending(path: "tiny-model")
        return [try TokenizerDirectory.tokenizer(in: tiny), try trained(.words), try trained(.bytePairs)]
    }

    @Test("what is traced as learned is the replies and what ends them, in every template that has turns")
    func replies() throws {
        for tokenizer in try Self.tokenizers() {
            for template in ConversationTemplate.all + ConversationTemplate.families where template.style != .plain {
                var turns = Self.turns
                turns[0] = turns[0].placingImageFirst(in: template)
                let labels = try TracedLabels(of: turns, template: template, hasImage: true, tokenizer: tokenizer)
                let learned = DataCheck.marked(labels, tokenizer).split(separator: "⟦").dropFirst().map {
                    String($0.prefix { $0 != "⟧" }).trimmingCharacters(in: .whitespaces)
                }
                let stop = template.stopText ?? ""
                let expected = ["red", "two, I think", "no"].map { reply in
                    template.style == .llama2 ? "\(reply) \(stop)" : reply + stop
                }
                #expect(
                    learned.map { $0.replacing(" ", with: "") } == expected.map { $0.replacing(" ", with: "") },
                    "\(template.name), \(tokenizer.summary)")
                #expect(labels.ids.count == labels.roles.count)
            }
        }
    }

    /// Where upstream's sums fail: it counts one id for `<|im_end|>`, which LLaMA's vocabulary has no token for, and it
    /// corrects for `legacy: false` in the styles TWO and MPT only.
    private static let upstreamFails = ["mistral_instruct", "chatml_direct", "mistral_direct", "mpt", "chatml"]

    @Test("the two ways of making labels agree wherever upstream's sums can be right, for three kinds of tokenizer")
    func agreement() throws {
        var compared = 0
        for tokenizer in try Self.tokenizers() {
            for template in ConversationTemplate.all + ConversationTemplate.families {
                var turns = Self.turns
                turns[0] = turns[0].placingImageFirst(in: template)
                if template.style == .plain {
                    turns = [
                        TrainingTurn(from: "human", value: "<image>"), TrainingTurn(from: "gpt", value: "a red circle"),
                    ]
                }
                let result = try LabelCheck.check(turns, template: template, hasImage: true, tokenizer: tokenizer)
                    .result
                switch template.style {
                case .single, .llama3: #expect(result == .noRule)
                default:
                    if tokenizer is LlamaTokenizer, Self.upstreamFails.contains(template.name) {
                        guard case .mismatch = result else {
                            Issue.record("\(template.name), \(tokenizer.summary): \(result)")
                            continue
                        }
                    } else {
                        compared += 1
                        #expect(result.isSound, "\(template.name), \(tokenizer.summary): \(result)")
                    }
                }
            }
        }
        #expect(compared > 30)
    }

    @Test("a label moved by one id, in either direction, is found")
    func moved() throws {
        let tokenizer = try Self.tokenizers()[1]
        let template = try ConversationTemplate.named("v1")
        let traced = try TracedLabels(of: Self.turns, template: template, hasImage: true, tokenizer: tokenizer)
        let mask = try LabelMask.sample(of: Self.turns, template: template, hasImage: true, tokenizer: tokenizer)
        #expect(LabelCheck.compare(traced, mask) == .agree(markerIDs: 0))
        let learned = mask.labels.indices.filter { mask.labels[$0] != LabelMask.ignored }
        let first = try #require(learned.first)
        for (position, label) in [(first, LabelMask.ignored), (first - 3, mask.ids[first - 3])] {
            var labels = mask.labels
            labels[position] = label
            let changed = LabelMask.Sample.changed(mask, labels: labels)
            #expect(!LabelCheck.compare(traced, changed).isSound)
        }
    }

    @Test("role names and control tokens in what was said are problems, and so is an answer that is empty")
    func problems() throws {
        struct Said: TrainingDataset {
            var turns: [QuestionAnswer]
            var name: String { "said" }
            var count: Int { 1 }
            func example(at index: Int) -> TrainingExample {
                TrainingExample(image: nil, turns: turns, origin: "line 1")
            }
        }
        let check = DataCheck(template: try .named("v1"), tokenizer: try Self.tokenizers()[1])
        func report(_ question: String, _ answer: String) -> DataCheck.Report {
            check.run(Said(turns: [QuestionAnswer(question: question, answer: answer, type: "t")]))
        }
        #expect(report("is there a ring?", "no").isSound)
        let role = report("say ASSISTANT: red", "ASSISTANT: red")
        #expect(!role.isSound && role.problems.first?.contains("reference") == true)
        let control = report("is </s> a ring?", "no")
        #expect(!control.isSound && control.problems.first?.hasPrefix("line 1") == true)
        #expect(!report("is there a ring?", "").isSound)
        #expect(!check.run(Said(turns: [])).isSound)
        let short = DataCheck(template: try .named("v1"), tokenizer: try Self.tokenizers()[1], maximumLength: 5)
        #expect(short.run(Said(turns: [QuestionAnswer(question: "a", answer: "b", type: "t")])).tooLong == 1)
    }

    @Test("a check of scenes counts what is in them")
    func scenes() throws {
        let dataset = ScenesDataset(split: .test, count: 50, seed: 1)
        let tokenizer = try Self.tokenizers()[2]
        let report = DataCheck(template: try .named("v1"), tokenizer: tokenizer).run(dataset)
        #expect(report.isSound, "\(report.problems)")
        let turns = (0..<50).flatMap { dataset.example(at: $0).turns }
        #expect(report.examples == 50 && report.images == 50 && report.turns == turns.count)
        #expect(report.turnsByType.values.reduce(0, +) == turns.count && report.samples.count == 3)
        // Every answer has its ids and an end token.
        let learned = turns.map { tokenizer.encode(" " + $0.answer, addingSpecialTokens: false).count + 1 }.reduce(0, +)
        #expect(report.supervisedTokens == learned)
    }

    @Test("captions are learned after the image in the plain template")
    func captions() throws {
        let tokenizer = try Self.tokenizers()[0]
        let turns = [TrainingTurn(from: "human", value: "<image>"), TrainingTurn(from: "gpt", value: "a red circle")]
        let labels = try TracedLabels(of: turns, template: .named("plain"), hasImage: true, tokenizer: tokenizer)
        #expect(DataCheck.marked(labels, tokenizer).hasPrefix("<s><image>⟦a red circle"))
    }
}

extension LabelMask.Sample {
    /// The same sample with other labels.
    fileprivate static func changed(_ sample: Self, labels: [Int]) -> Self {
        Self(prompt: sample.prompt, ids: sample.ids, labels: labels, mismatch: nil)
    }
}
