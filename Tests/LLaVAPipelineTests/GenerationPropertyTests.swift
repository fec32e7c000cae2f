import Foundation
import LanguageDecoder
import LLaVAPipeline
import MQT
import NeuralNetwork
import Tensors
import TestSupport
import Testing
import Tokenization
import VisionEncoder

@Suite struct GenerationPropertyTests {
    private let model: LLaVAModel
    private let assistant: Assistant

    init() throws {
        model = try LLaVAModel.load(from: Fixtures.directory.appending(path: "tiny-model").path)
        assistant = try Assistant(model)
    }

    /// A picture of random pixels.
    private func picture(seed: UInt64, width: Int = 90, height: Int = 70) -> RGBImage {
        var generator = SeededGenerator(seed: seed)
        let pixels = (0..<width * height * 3).map { _ in UInt8.random(in: 0...255, using: &generator) }
        return RGBImage(width: width, height: height, pixels: pixels)
    }

    private func prompt(_ question: String, _ pictures: [RGBImage], budget: Int?) throws -> MultimodalPrompt {
        let tokens = try pictures.map { picture in
            try model.visualTokens(from: model.encode(model.process(picture)), budget: model.budget(budget))
        }
        let conversation = try assistant.conversation(asking: question, images: pictures.count)
        return try model.prompt(assistant.ids(of: conversation), images: tokens)
    }

    private func tokens(_ prompt: MultimodalPrompt, count: Int, sampling: SamplingOptions = .init()) throws -> [Int] {
        var generation = try Generation(
            model.decoder, prompt, sampling: sampling, maximumTokens: count, endTokens: [])
        while generation.next() != nil {}
        return generation.tokens
    }

    @Test(
        "greedy decoding with a cache draws the tokens that passes over the whole sequence draw", arguments: [1, 7, 64])
    func cached(budget: Int) throws {
        // The mixture-of-depths layers of a decode step are plain layers over their own shorter caches, so a pass over
        // prompt and answer together is the same only while the answer's tokens are not skippable, which they are not.
        let prompt = try prompt("what is in the picture?", [picture(seed: 1)], budget: budget)
        let answer = try tokens(prompt, count: 6)
        for length in 0..<6 {
            let embeds = length == 0 ? [] : [model.decoder.embedTokens(Array(answer.prefix(length)))]
            let longer = MultimodalPrompt(
                inputsEmbeds: Tensor.concatenatingRows([prompt.inputsEmbeds] + embeds),
                skippable: prompt.skippable.map { $0 + Array(repeating: false, count: length) })
            #expect(try tokens(longer, count: 1) == [answer[length]])
        }
    }

    @Test("once two tokens were decoded, further ones take no memory from the allocator", arguments: [1, 2])
    func memory(threads: Int) throws {
        var context = ComputeContext(threads: threads)
        let counter = OperationCounter()
        context.operations = counter
        context.quantizedProducts = .native
        var options = LoadOptions()
        options.quantization = Quantization(decoder: .q8_0)
        for model in [model, try LLaVAModel.load(from: model.path, options: options)] {
            try context.run {
                let embeds = model.decoder.embedTokens([1, 7, 9, 11])
                var generation = try Generation(
                    model.decoder, MultimodalPrompt(inputsEmbeds: embeds), sampling: SamplingOptions(),
                    maximumTokens: 40, endTokens: [])
                for _ in 0..<3 { _ = generation.next() }  // the first comes from the prompt
                let before = counter.work
                while generation.next() != nil {}
                let work = counter.work - before
                #expect(generation.tokens.count == 40 && work.bytesRead > 0)
                #expect(work.allocatedBlocks == 0 && work.allocatedBytes == 0)
            }
        }
    }

    @Test("a decode step of a sequence equals the last row of a pass over it")
    func decodeLogits() throws {
        let prompt = try prompt("how many?", [picture(seed: 2)], budget: 9)
        var generation = try Generation(
            model.decoder, prompt, sampling: .init(), maximumTokens: 4, endTokens: [], keepsLogits: true)
        while generation.next() != nil {}
        let embeds = Tensor.concatenatingRows([
            prompt.inputsEmbeds, model.decoder.embedTokens(Array(generation.tokens.prefix(3))),
        ])
        var cache = KVCache(model.config.llama)
        let h = model.decoder.hiddenStates(
            embeds, skippable: prompt.skippable.map { $0 + [false, false, false] }, cache: &cache)
        let expected = model.decoder.logits(h[h.rows - 1..<h.rows])
        #expect(generation.logits[3].distance(to: expected) < 1e-4)
    }

    @Test("the answer has the same tokens on 1, 2 and 5 threads, and the logits the same bytes")
    func threads() throws {
        let results = try [1, 2, 5].map { threads in
            try ComputeContext(threads: threads).run {
                let prompt = try prompt(
                    "where is it?", [picture(seed: 3), picture(seed: 4, width: 33, height: 200)], budget: 20)
                var generation = try Generation(
                    model.decoder, prompt, sampling: SamplingOptions(temperature: 1, seed: 5), maximumTokens: 8,
                    endTokens: [], keepsLogits: true)
                while generation.next() != nil {}
                return generation.logits.flatMap(\.bytes) + prompt.inputsEmbeds.bytes
            }
        }
        #expect(results[0] == results[1] && results[0] == results[2])
    }

    @Test("every budget gives that many visual tokens, the first of those of the largest")
    func budgets() throws {
        let features = try model.encode(model.process(picture(seed: 6)))
        let all = try model.visualTokens(from: features)
        #expect(all.count == 64)
        for m in [1, 2, 3, 17, 63] {
            let tokens = try model.visualTokens(from: features, budget: model.budget(m))
            #expect(tokens.embeddings.bytes == all.embeddings[0..<m].bytes)
        }
        #expect(throws: VisualTokenBudgetError.self) { try model.budget(65) }
        #expect(throws: VisualTokenBudgetError.self) { try model.budget(0) }
    }

    @Test("a prompt has a place for each image, no more and no fewer")
    func places() throws {
        let tokens = try model.visualTokens(from: model.encode(model.process(picture(seed: 7))))
        #expect(throws: LLaVAError.imageCount(placeholders: 1, images: 2)) {
            try model.prompt([1, -200, 5], images: [tokens, tokens])
        }
        #expect(throws: LLaVAError.imageCount(placeholders: 2, images: 1)) {
            try model.prompt([-200, -200], images: [tokens])
        }
        #expect(throws: LLaVAError.tokenOutOfRange(id: 512, vocabSize: 512)) { try model.prompt([1, 512], images: []) }
        #expect(throws: LLaVAError.emptyPrompt) { try model.prompt([], images: []) }
        #expect(throws: LLaVAError.emptyPrompt) { try assistant.conversation(asking: " \n", images: 0) }
    }

    @Test("a prompt beyond the decoder's positions is refused, and an answer stops at them")
    func positions() throws {
        let limit = model.config.llama.maxPositionEmbeddings
        let fitting = try model.prompt(Array(repeating: 5, count: limit - 1), images: [])
        #expect(try tokens(fitting, count: 10).count == 2)
        let long = try model.prompt(Array(repeating: 5, count: limit + 1), images: [])
        #expect(throws: LLaVAError.tooLong(tokens: limit + 1, limit: limit)) { try tokens(long, count: 1) }
    }

    @Test("a chat answers as if each turn were read from the start")
    func chat() throws {
        let image = try model.visualTokens(from: model.encode(model.process(picture(seed: 8))), budget: model.budget(5))
        var session = ChatSession(assistant)
        session.show([image])
        let first = try session.answer("what?", sampling: .init(), maximumTokens: 5) { _ in }
        let second = try session.answer("and now?", sampling: .init(), maximumTokens: 5) { _ in }

        let history = [
            Conversation.Message(role: .user, text: "<image>\nwhat?"),
            Conversation.Message(role: .assistant, text: first),
        ]
        let conversation = try assistant.conversation(after: history, asking: "and now?", images: 0)
        let whole = try model.prompt(assistant.ids(of: conversation), images: [image])
        var text = assistant.answerText()
        for token in try tokens(whole, count: 5) where !text.isComplete { _ = text.append(token) }
        _ = text.finish()
        #expect(second == text.text)
    }
}
