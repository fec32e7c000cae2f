import Bytes
import Foundation
import ModelFiles
import TestSupport
import Testing
import Tokenization

@Suite struct TextGoldenTests {
    @Test("SentencePiece ids and texts equal the library's, and Hugging Face's slow tokenizer on top of it")
    func tokenizer() throws {
        let stage = try GoldenStage("tokenizer")
        let report = GoldenReport(stage)
        for file in stage.files(ofKind: "json") {
            let json = try stage.json(file)
            // Other kinds of tokenizer are read by a later issue.
            guard json["spec"]?["type_name"]?.string == "BPE",
                json["model"]?["path_in_wheel"]?.string?.hasSuffix(".gguf") == false
            else { continue }
            let sentencePiece = try Self.sentencePiece(json)
            settings(sentencePiece.model, try #require(json["spec"]), report)
            let slow = [("hf_legacy_ids", true), ("hf_nonlegacy_ids", false)].map {
                ($0.0, Self.llama(sentencePiece, legacy: $0.1))
            }
            for entry in try #require(json["cases"]?.array) {
                let text = try #require(entry["text"]?.string)
                let ids = try #require(entry["ids"]?.array).compactMap(\.int)
                report.checkEqual("ids of \(text.debugDescription)", sentencePiece.encode(text), ids)
                try checkText(report, sentencePiece.decode(ids), entry["decoded"]?.string)
                for (key, tokenizer) in slow {
                    guard let expected = entry[key]?.array?.compactMap(\.int) else { continue }
                    report.checkEqual("\(key) of \(text.debugDescription)", tokenizer.encode(text), expected)
                }
            }
            for entry in json["decode_ids"]?.array ?? [] {
                let ids = try #require(entry["ids"]?.array).compactMap(\.int)
                try checkText(report, sentencePiece.decode(ids), entry["decoded"]?.string)
            }
        }
        report.finish()
    }

    @Test("conversations, image prompts and label masks equal the published code's")
    func prompts() throws {
        let stage = try GoldenStage("prompts")
        let report = GoldenReport(stage)
        for file in stage.files(ofKind: "json") {
            let json = try stage.json(file)
            if let modes = json["modes"]?.object {
                templates(modes, report)
                for entry in try #require(json["cases"]?.array) { try conversation(entry, report) }
            } else {
                try tokenized(json, report)
            }
        }
        report.finish()
    }

    private func settings(_ model: SentencePieceModel, _ spec: JSONValue, _ report: GoldenReport) {
        report.checkEqual("vocab_size", model.pieces.count, spec["vocab_size"]?.int)
        report.checkEqual("byte_fallback", model.byteFallback, spec["byte_fallback"]?.bool)
        report.checkEqual("add_dummy_prefix", model.addDummyPrefix, spec["add_dummy_prefix"]?.bool)
        report.checkEqual(
            "remove_extra_whitespaces", model.removeExtraWhitespaces, spec["remove_extra_whitespaces"]?.bool)
        report.checkEqual("escape_whitespaces", model.escapeWhitespaces, spec["escape_whitespaces"]?.bool)
        report.checkEqual("unk_id", model.unknownID, spec["unk_id"]?.int)
        report.checkEqual("bos_id", model.bosID ?? -1, spec["bos_id"]?.int)
        report.checkEqual("eos_id", model.eosID ?? -1, spec["eos_id"]?.int)
        report.checkEqual("pad_id", model.padID ?? -1, spec["pad_id"]?.int)
    }

    /// Compares code points: `==` on strings would forgive another normal form.
    private func checkText(_ report: GoldenReport, _ got: String, _ expected: String?) throws {
        report.checkEqual("text", Array(got.unicodeScalars), try #require(expected).unicodeScalars.map { $0 })
    }

    private func templates(_ modes: [String: JSONValue], _ report: GoldenReport) {
        report.checkEqual("template names", Set(ConversationTemplate.all.map(\.name)), Set(modes.keys))
        for template in ConversationTemplate.all {
            guard let mode = modes[template.name] else { continue }
            report.checkEqual("\(template.name) system", template.system, mode["system"]?.string)
            report.checkEqual(
                "\(template.name) roles", [template.userRole, template.assistantRole],
                mode["roles"]?.array?.compactMap(\.string))
            report.checkEqual("\(template.name) style", template.style.rawValue, mode["sep_style"]?.string)
            report.checkEqual("\(template.name) sep", template.separator, mode["sep"]?.string)
            report.checkEqual("\(template.name) sep2", template.secondSeparator, mode["sep2"]?.string)
            report.checkEqual("\(template.name) version", template.version, mode["version"]?.string)
        }
    }

    private func conversation(_ entry: JSONValue, _ report: GoldenReport) throws {
        let mode = try #require(entry["mode"]?.string)
        var conversation = Conversation(template: try .named(mode))
        for turn in try #require(entry["turns"]?.array) {
            let tuple = turn["user_tuple"]?.string
            conversation.append(.user, try #require(tuple ?? turn["user"]?.string), carriesImage: tuple != nil)
            conversation.append(.assistant, turn["assistant"]?.string)
        }
        if let expected = entry["prompt"]?.string {
            try checkText(report, conversation.prompt(), expected)
        } else {
            report.checkEqual("\(mode) raises", (try? conversation.prompt()) == nil, true)
        }
    }

    private func tokenized(_ json: JSONValue, _ report: GoldenReport) throws {
        let stage = try GoldenStage("tokenizer")
        let recorded = try stage.files(ofKind: "json").map(stage.json)
            .first { $0["spec"]?["type_name"]?.string == "BPE" }
        let sentencePiece = try Self.sentencePiece(try #require(recorded))
        let tokenizers = [
            true: Self.llama(sentencePiece, legacy: true), false: Self.llama(sentencePiece, legacy: false),
        ]
        for entry in try #require(json["cases"]?.array) {
            let tokenizer = try #require(entry["legacy"]?.bool.flatMap { tokenizers[$0] })
            if let prompt = entry["prompt"]?.string, let ids = entry["ids"]?.array {
                report.checkEqual(prompt, ImagePrompt(prompt, tokenizer: tokenizer).ids, ids.compactMap(\.int))
                continue
            }
            let template = try ConversationTemplate.named(try #require(entry["version"]?.string))
            let hasImage = entry["has_image"]?.bool == true
            let source = try turns(entry["source"])
            let placed = hasImage ? source.map { $0.placingImageFirst(in: template) } : source
            report.checkEqual("turns", placed, try turns(entry["after_preprocess_multimodal"]))
            let sample = try LabelMask.sample(of: placed, template: template, hasImage: hasImage, tokenizer: tokenizer)
            report.checkEqual("\(template.name) ids", sample.ids, entry["input_ids"]?.array?.compactMap(\.int))
            report.checkEqual("\(template.name) labels", sample.labels, entry["labels"]?.array?.compactMap(\.int))
            report.checkEqual(
                "\(template.name) all ignored", sample.labels.allSatisfy { $0 == LabelMask.ignored },
                entry["all_ignored"]?.bool)
        }
    }

    private func turns(_ json: JSONValue?) throws -> [TrainingTurn] {
        try #require(json?.array).map {
            TrainingTurn(from: try #require($0["from"]?.string), value: try #require($0["value"]?.string))
        }
    }

    /// The model that ids were recorded with, found by its digest among the fetched files.
    private static func sentencePiece(_ json: JSONValue) throws -> SentencePieceTokenizer {
        let digest = try #require(json["model"]?["sha256"]?.string)
        let name = try #require(json["model"]?["path_in_wheel"]?.string?.split(separator: "/").last)
        let file = Fixtures.cache.appending(path: digest).appending(path: String(name))
        try #require(
            FileManager.default.fileExists(atPath: file.path),
            "\(file.path) is missing: run scripts/fetch-golden-assets \(Fixtures.golden.path)")
        return try SentencePieceTokenizer(SentencePieceModel(contentsOf: file))
    }

    private static func llama(_ sentencePiece: SentencePieceTokenizer, legacy: Bool) -> LlamaTokenizer {
        var configuration = LlamaTokenizerConfiguration()
        configuration.legacy = legacy
        configuration.padToken = configuration.unkToken
        return LlamaTokenizer(sentencePiece, configuration: configuration)
    }
}
