import Evaluation
import Foundation
import LLaVAPipeline
import LanguageDecoder
import MQT
import ModelFiles
import NeuralNetwork
import Tensors
import TestSupport
import Testing
import Training
import VisionEncoder

/// The tiny model with a decoder whose layers read every token.
enum DenseModel {
    static func make() throws -> URL {
        let copy = try TinyModel.copy { tensors in
            tensors = Dictionary(
                uniqueKeysWithValues: tensors.filter { !$0.key.contains(".router.") }.map {
                    ($0.key.replacingOccurrences(of: ".decoder_layer.", with: "."), $0.value)
                })
        }
        let keys = [
            "layers", "token_type", "target_layers", "target_token_type", "router_factor", "weight_norm",
            "bias_enabled",
        ]
        try TinyModel.change(
            Dictionary(uniqueKeysWithValues: keys.map { ("mod_\($0)", nil as Any?) }),
            in: copy.appending(path: "config.json"))
        return copy
    }
}

@Suite("Sweeps")
struct SweepTests {
    private let directory: URL
    private let scenes = ScenesDataset(split: .test, count: 3, seed: 5, questionsPerScene: 3, side: 64)

    init() throws { directory = try Fixtures.temporaryDirectory() }

    private func sweep(
        _ models: [String] = [TinyModel.path], budgets: BudgetList = .numbers([1, 16, 4]), limit: Int? = 7,
        log: String = "answers.jsonl", maximumTokens: Int = 6
    ) throws -> Sweep {
        try Sweep(
            models.map { try Assistant(LLaVAModel.load(from: $0)) }, EvaluationSet(scenes, limit: limit),
            budgets: budgets, maximumTokens: maximumTokens, timedPictures: 2,
            log: directory.appending(path: log).path)
    }

    @Test(
        "prompts that share a prefix are answered with the tokens of prompts read from the beginning",
        arguments: [false, true])
    func reuse(isDense: Bool) throws {
        let path = isDense ? try DenseModel.make().path : TinyModel.path
        let assistant = try Assistant(LLaVAModel.load(from: path))
        let model = assistant.model
        for example in 0..<2 {
            let features = try model.encode(model.process(scenes[example].image.required()))
            let tokens = try model.visualTokens(from: features)
            var reader = PromptReader(assistant, tokens, views: 1, maximumTokens: 8)
            #expect(reader.reuse == (isDense ? .acrossBudgets : .acrossQuestions))
            // Not in order: a larger budget after a smaller one must be read anew.
            for budget in [64, 17, 3, 40, 1] {
                for turn in scenes.example(at: example).turns {
                    let ids = try assistant.ids(of: assistant.conversation(asking: turn.question, images: 1))
                    let shared = try reader.answer(ids, budget: budget)
                    let own = try model.visualTokens(from: features, budget: model.budget(budget))
                    let alone = try PromptReader.answer(assistant, ids, own, 8)
                    #expect(shared.tokens == alone.tokens && shared.text == alone.text)
                    #expect(shared.kvEntries == alone.kvEntries && shared.promptTokens == alone.promptTokens)
                    #expect(shared.promptTokens == ids.count - 1 + budget)
                }
            }
        }
    }

    @Test("the keys of a mixture of depths are the tokens that its layers keep, with a shared prefix as well")
    func keptTokens() throws {
        let assistant = try Assistant(LLaVAModel.load(from: TinyModel.path))
        let model = assistant.model
        let tokens = try model.visualTokens(from: model.encode(model.process(scenes[0].image.required())))
        let ids = try assistant.ids(of: assistant.conversation(asking: "what shape is it?", images: 1))
        var reader = PromptReader(assistant, tokens, views: 1, maximumTokens: 1)
        for budget in [64, 10] {
            let prompt = try model.prompt(ids, images: [tokens.prefix(budget, ofEachOf: 1)])
            let trace = Trace()
            var cache = KVCache(model.config.llama)
            _ = model.decoder.hiddenStates(
                prompt.inputsEmbeds, skippable: prompt.skippable, cache: &cache, trace: trace)
            let layers = model.config.llama.numHiddenLayers
            let kept = (0..<layers).map { trace.tensors["pmod.kept.\($0)"]?.count ?? prompt.count }
            #expect(kept.contains { $0 < prompt.count })
            let first = try reader.answer(ids, budget: budget)
            let second = try reader.answer(ids, budget: budget)
            #expect(first.kvEntries == kept.reduce(0, +) && second.kvEntries == first.kvEntries)
        }
    }

    @Test("sharing a prefix saves the operations of the prefix")
    func savedOperations() throws {
        let assistant = try Assistant(LLaVAModel.load(from: DenseModel.make().path))
        let model = assistant.model
        let tokens = try model.visualTokens(from: model.encode(model.process(scenes[0].image.required())))
        let ids = try assistant.ids(of: assistant.conversation(asking: "what?", images: 1))
        var context = ComputeContext(threads: 1)
        context.operations = OperationCounter()
        try context.run {
            var reader = PromptReader(assistant, tokens, views: 1, maximumTokens: 1)
            let whole = try reader.answer(ids, budget: 64).prefillOperations
            let again = try reader.answer(ids, budget: 64).prefillOperations
            let smaller = try reader.answer(ids, budget: 32).prefillOperations
            #expect(again < whole / 2 && smaller < again, "\(whole) \(again) \(smaller)")
        }
    }

    @Test("visual tokens of a smaller budget are the bytes of the query transformer's, for several views as well")
    func slices() throws {
        let model = try LLaVAModel.load(from: TinyModel.path)
        let image = try model.process(scenes[0].image.required())
        // Views of one picture whose features are those of three.
        let tensors = try (0..<3).map { try model.encode(model.process(scenes[$0].image.required())).tensor[0] }
        for views in [1, 3] {
            let features = LLaVAModel.Features(
                tensor: Tensor.concatenatingRows(Array(tensors.prefix(views)))
                    .reshaped(to: [views] + tensors[0].shape), image: image)
            let (all, nine) = (
                try model.visualTokens(from: features), try model.visualTokens(from: features, budget: model.budget(9))
            )
            let cut = all.prefix(9, ofEachOf: views)
            #expect(cut.count == 9 * views && cut.embeddings.bytes == nine.embeddings.bytes)
            #expect(cut.isHighResolution == nine.isHighResolution)
            #expect(all.prefix(64, ofEachOf: views).embeddings.bytes == all.embeddings.bytes)
        }
    }

    @Test("each picture is encoded once, and the rows hold what the records say")
    func report() throws {
        let sweep = try sweep([TinyModel.path, DenseModel.make().path])
        let records = try #require(try sweep.run())
        let report = SweepReport(sweep, records, scorer: .exact)
        #expect(report.dataset.questions == 7 && report.dataset.pictures == 3)
        #expect(report.models.map(\.encodes) == [3, 3])
        #expect(report.models.map(\.reuse) == [[.acrossQuestions], [.acrossBudgets]])
        #expect(report.models.allSatisfy { $0.checkedAnswers == 6 && $0.sameAnswers == 6 })
        for curve in report.models {
            #expect(curve.rows.map(\.visualTokens) == [1, 4, 16])
            for row in curve.rows {
                #expect(row.questions == 7 && row.score?.questions == 7)
                #expect(row.byType?.values.reduce(0) { $0 + $1.questions } == 7)
                let operations = try #require(row.operations)
                #expect(operations.encode > 0 && operations.queryTransformer > 0 && operations.prefill > 0)
            }
            #expect(curve.rows[0].kvEntries < curve.rows[2].kvEntries)
            #expect((curve.rows[0].operations?.prefill ?? 0) < (curve.rows[2].operations?.prefill ?? 0))
        }
        // A dense layer holds every token; key and value of 32 floats each, in 12 layers.
        let dense = report.models[1].rows[2]
        #expect(dense.kvEntries == 12 * dense.promptTokens && dense.kvBytes == dense.kvEntries * 2 * 32 * 4)
        #expect(report.models[0].rows[2].kvEntries < dense.kvEntries)
    }

    @Test("a sweep that was stopped goes on where it was, and a line cut by a kill is asked again")
    func resuming() throws {
        let whole = try #require(try sweep(log: "whole.jsonl").run())
        var asked = 0
        #expect(try sweep().run(isCancelled: { asked == 1 }, report: { _ in asked += 1 }) == nil)
        // In the middle of a picture: that one is asked about anew.
        var answers = 0
        #expect(
            try sweep().run(isCancelled: {
                answers += 1
                return answers == 5
            }) == nil)
        let log = directory.appending(path: "answers.jsonl")
        let handle = try FileHandle(forWritingTo: log)
        try handle.seekToEnd()
        try handle.write(contentsOf: Data(#"{"model":0,"picture":1,"enco"#.utf8))
        try handle.close()
        var progress: [Sweep.Progress] = []
        let rest = try #require(try sweep().run(report: { progress.append($0) }))
        #expect(progress.map(\.done) == [2, 3] && progress.allSatisfy { $0.total == 3 && $0.resumed == 1 })
        #expect(rest.map { $0.answers.map(\.text) } == whole.map { $0.answers.map(\.text) })
        #expect(rest.map(\.encodes) == [1, 1, 1])
        var again = 0
        #expect(try sweep().run(report: { _ in again += 1 })?.count == 3 && again == 0)
    }

    @Test("answers of other settings are not gone on from")
    func otherSettings() throws {
        _ = try sweep().run()
        for other in [
            { try sweep(limit: 6) }, { try sweep(budgets: .numbers([1, 4])) }, { try sweep(maximumTokens: 5) },
            { try sweep([TinyModel.path, TinyModel.path]) },
        ] {
            let error = try #require(throws: EvaluationError.self) { try other() }
            guard case .otherEvaluation = error else { throw error }
        }
        let error = try #require(throws: EvaluationError.self) { try sweep(log: "answers.jsonl/below/a.jsonl") }
        guard case .unwritable = error else { throw error }
    }

    @Test("operations counted in the kernels' callers are those of the layers' formulas")
    func operations() throws {
        let path = try DenseModel.make().path
        let sweep = try sweep([path], budgets: .numbers([64]), limit: 1, maximumTokens: 3)
        let row = SweepReport(sweep, try #require(try sweep.run()), scorer: .exact).models[0].rows[0]
        let config = try LLaVAModel.load(from: path).config.llama
        let (d, t) = (config.hiddenSize, Int(row.promptTokens))
        let keyValueSize = config.numKeyValueHeads * config.headSize
        // Queries and outputs, gate, up and down; keys and values.
        let others = d * (2 * d + 3 * config.intermediateSize)
        let layer = others + 2 * d * keyValueSize
        // Scores and their sums of values, of a query and every key up to its own.
        let pairs = 2 * d * t * (t + 1) / 2
        // In the last layer all tokens have keys and values, and the last one the rest.
        let last = t * 2 * d * keyValueSize + others + 2 * d * t
        let multiplyAdds = (config.numHiddenLayers - 1) * (layer * t + pairs) + last + d * config.vocabSize
        #expect(row.operations?.prefill == Double(2 * multiplyAdds))
        let step = 2 * (config.numHiddenLayers * layer + d * config.vocabSize)
        let decode = try #require(row.operations?.decodePerToken)
        #expect(decode > Double(step) && decode < Double(step + 4 * config.numHiddenLayers * d * (t + 4)))
    }

    @Test("budgets that cannot be meant are refused before anything is asked")
    func budgets() throws {
        #expect(try BudgetList(parsing: "1, 2,64") == .numbers([1, 2, 64]) && BudgetList(parsing: "all") == .all)
        for text in ["", "1,,2", "1,x", "2,2", "1;2"] {
            #expect(throws: EvaluationError.self) { try BudgetList(parsing: text) }
        }
        let model = try LLaVAModel.load(from: TinyModel.path)
        let fixed = try LLaVAModel.load(from: TinyModel.copyWithProjector().path)
        let cut = try TinyModel.copy { tensors in
            for part in ["query", "pos_embed"] {
                let name = "model.query_abstractor.\(part)"
                tensors[name] = tensors[name]?[0..<16]
            }
        }
        try TinyModel.change(["num_visual_tokens": nil], in: cut.appending(path: "config.json"))
        let small = try LLaVAModel.load(from: cut.path)
        #expect(try BudgetList.powersOfTwo.budgets(for: [model]) == [64, 32, 16, 8, 4, 2, 1])
        #expect(try BudgetList.all.budgets(for: [model, fixed]) == (1...64).reversed())
        #expect(try BudgetList.powersOfTwo.budgets(for: [fixed]) == [])
        #expect(throws: VisualTokenBudgetError.self) { try BudgetList.numbers([65]).budgets(for: [model]) }
        #expect(throws: VisualTokenBudgetError.self) { try BudgetList.numbers([0]).budgets(for: [model]) }
        #expect(throws: VisualTokenBudgetError.self) { try BudgetList.numbers([4]).budgets(for: [fixed]) }
        #expect(small.maximumVisualTokens == 16)
        #expect(throws: EvaluationError.self) { try BudgetList.all.budgets(for: [model, small]) }
        #expect(throws: VisualTokenBudgetError.self) { try BudgetList.numbers([17]).budgets(for: [model, small]) }
        #expect(try BudgetList.numbers([4]).budgets(for: [model, small]) == [4])
    }

    @Test("a model with a fixed number of tokens is one point beside an elastic one")
    func fixed() throws {
        let sweep = try sweep(
            [TinyModel.path, TinyModel.copyWithProjector().path], budgets: .numbers([2, 8]), limit: 2)
        let report = SweepReport(sweep, try #require(try sweep.run()), scorer: .exact)
        #expect(report.models.map { $0.rows.map(\.visualTokens).count } == [2, 1])
        #expect(report.models[1].rows[0].visualTokens > 8 && report.models[1].maximumVisualTokens == nil)
    }

    @Test("a file without answers is measured for cost only, and one with some answers is refused")
    func unanswered() throws {
        let source = Pictures.png
        try FileManager.default.copyItem(atPath: source, toPath: directory.appending(path: "a.png").path)
        func file(_ lines: String...) throws -> QuestionFile {
            let path = directory.appending(path: "\(UUID().uuidString).jsonl").path
            try Data(lines.joined(separator: "\n").utf8).write(to: URL(filePath: path))
            return try QuestionFile(path: path, requiresAnswers: false)
        }
        let bare = #"{"image": "a.png", "question": "what?", "id": 7}"#
        let full = #"{"image": "a.png", "question": "what?", "answers": ["red", "a red one"]}"#
        let set = try EvaluationSet(file(bare, bare))
        #expect(!set.hasAnswers && set.items[0].turns[0].id == "7")
        let sweep = try Sweep(
            [Assistant(LLaVAModel.load(from: TinyModel.path))], set, budgets: .numbers([1]), maximumTokens: 2,
            timedPictures: 1, log: directory.appending(path: "answers.jsonl").path)
        let report = SweepReport(sweep, try #require(try sweep.run()), scorer: .exact)
        #expect(report.scorer == nil && report.models[0].rows[0].score == nil && report.models[0].rows[0].kvBytes > 0)

        let answered = try EvaluationSet(file(full, #"{"question": "what?", "answer": "x"}"#))
        #expect(answered.hasAnswers && answered.withoutPicture == 1)
        #expect(answered.items[0].turns[0].references == ["red", "a red one"])
        let error = try #require(throws: EvaluationError.self) { try EvaluationSet(file(full, bare)) }
        #expect("\(error)".contains("line 2") && "\(error)".contains("1 of 2"), "\(error)")
        #expect(throws: EvaluationError.self) { try EvaluationSet(file(#"{"question": "what?", "answer": "x"}"#)) }
        #expect(throws: DataError.self) {
            try QuestionFile(path: directory.appending(path: "x.jsonl").path, requiresAnswers: false)
        }
    }

    @Test("lines about one file are questions about one picture, which is encoded once")
    func grouping() throws {
        _ = try DatasetWriter(directory: directory.path).write(scenes)
        let file = try QuestionFile(path: directory.appending(path: "questions.jsonl").path)
        let set = try EvaluationSet(file)
        #expect(file.count == 9 && set.items.count == 3 && set.questionCount == 9)
        #expect(set.items[1].turns.map(\.id) == ["1-0", "1-1", "1-2"])
        #expect(
            set.items.map { $0.turns.map(\.question) } == (0..<3).map { scenes.example(at: $0).turns.map(\.question) })
        #expect(try EvaluationSet(scenes).items[1].turns.map(\.id) == ["1-0", "1-1", "1-2"])
    }

    @Test("the limit counts questions, and the checksum covers exactly what is asked")
    func limits() throws {
        let (all, some) = (try EvaluationSet(scenes), try EvaluationSet(scenes, limit: 4))
        #expect(some.questionCount == 4 && some.items.count == 2 && some.items[1].turns.count == 1)
        #expect(all.checksum == (try DatasetChecksum.of(scenes)) && some.checksum != all.checksum)
        let shuffled = try EvaluationSet(scenes, shuffleSeed: 3)
        #expect(Set(shuffled.items.map(\.index)) == Set(all.items.map(\.index)))
    }
}

extension TrainingExample.Source? {
    /// The pixels; throws if there is no picture.
    func required() throws -> RGBImage {
        guard let self else { throw CancellationError() }
        return try self.decoded()
    }
}
