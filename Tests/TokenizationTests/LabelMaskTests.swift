import Testing

@testable import Tokenization

@Suite("Labels of training samples")
struct LabelMaskTests {
    @Test("only the replies and their ends are learned")
    func repliesOnly() throws {
        let tokenizer = try LlamaTokenizer(directory: TinyModel.directory)
        let sample = try LabelMask.sample(
            of: [
                TrainingTurn(from: "human", value: "<image>\nWhat colour is the star?"),
                TrainingTurn(from: "gpt", value: "The star is red."),
                TrainingTurn(from: "human", value: "How many stars are there?"),
                TrainingTurn(from: "gpt", value: "one"),
            ], template: .named("v1"), hasImage: true, tokenizer: tokenizer)
        #expect(sample.mismatch == nil)
        #expect(sample.ids.count == sample.labels.count)
        let learned = sample.labels.filter { $0 != LabelMask.ignored }
        #expect(try tokenizer.decode(learned, skippingSpecialTokens: false) == "The star is red.</s> one</s>")
    }

    @Test("a sample whose rounds do not add up teaches nothing and says so")
    func mismatch() throws {
        let tokenizer = try LlamaTokenizer(directory: TinyModel.directory)
        let sample = try LabelMask.sample(
            of: [
                TrainingTurn(from: "human", value: "Say ASSISTANT: please."),
                TrainingTurn(from: "gpt", value: "please, ASSISTANT: too"),
            ], template: .named("v1"), hasImage: false, tokenizer: tokenizer)
        #expect(sample.mismatch == .init(counted: 1, total: sample.ids.count))
        #expect(sample.labels.allSatisfy { $0 == LabelMask.ignored })
    }

    @Test("text beyond the longest sequence is cut and what is left is learned")
    func cut() throws {
        let tokenizer = try LlamaTokenizer(directory: TinyModel.directory)
        let turns = [
            TrainingTurn(from: "human", value: "Count."),
            TrainingTurn(from: "gpt", value: String(repeating: "one two ", count: 100)),
        ]
        let whole = try LabelMask.sample(of: turns, template: .named("v1"), hasImage: false, tokenizer: tokenizer)
        let sample = try LabelMask.sample(
            of: turns, template: .named("v1"), hasImage: false, tokenizer: tokenizer, maximumLength: 120)
        #expect(sample.ids == Array(whole.ids.prefix(120)))
        #expect(sample.labels == Array(whole.labels.prefix(120)))
        #expect(sample.labels.contains { $0 != LabelMask.ignored })
    }

    @Test("turns out of order, captions without an image and templates without a rule are refused")
    func refused() throws {
        let tokenizer = try LlamaTokenizer(directory: TinyModel.directory)
        let human = TrainingTurn(from: "human", value: "a")
        let gpt = TrainingTurn(from: "gpt", value: "b")
        let samples: [([TrainingTurn], String)] = [
            ([human, human], "v1"), ([TrainingTurn(from: "system", value: "a"), gpt], "v1"), ([human, gpt], "plain"),
            ([human, gpt], "v0"),
        ]
        for (turns, name) in samples {
            #expect(throws: TokenizationError.self) {
                try LabelMask.sample(of: turns, template: .named(name), hasImage: false, tokenizer: tokenizer)
            }
        }
        // A first turn that is not the human's is left out, as upstream does.
        let sample = try LabelMask.sample(
            of: [gpt, human, gpt], template: .named("v1"), hasImage: false, tokenizer: tokenizer)
        let plain = try LabelMask.sample(
            of: [human, gpt], template: .named("v1"), hasImage: false, tokenizer: tokenizer)
        #expect(sample == plain)
    }
}
