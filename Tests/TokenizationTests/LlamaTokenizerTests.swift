import Foundation
import TestSupport
import Testing

@testable import Tokenization

@Suite("LLaMA tokenizer")
struct LlamaTokenizerTests {
    @Test("the tiny model loads from its directory with the settings of its configuration")
    func directory() throws {
        let tokenizer = try LlamaTokenizer(directory: TinyModel.directory)
        #expect(tokenizer.bosID == 1)
        #expect(tokenizer.eosID == 2)
        #expect(tokenizer.unkID == 0)
        #expect(tokenizer.padID == 0)
        #expect(!tokenizer.configuration.legacy)
        #expect(tokenizer.configuration.modelMaxLength == 2048)
        #expect(tokenizer.encode("") == [1])
        #expect(tokenizer.encode("</s>") == [1, 2])
        #expect(try tokenizer.decode(tokenizer.encode("a red star</s>")) == "a red star")
    }

    @Test(
        "text with special tokens in it decodes to itself when they are shown", .tags(.property),
        arguments: [true, false], [UInt64](1...3))
    func roundTrip(legacy: Bool, seed: UInt64) throws {
        var configuration = LlamaTokenizerConfiguration()
        configuration.legacy = legacy
        configuration.addBosToken = false
        let tokenizer = LlamaTokenizer(try TinyModel.tokenizer(), configuration: configuration)
        var generator = SeededGenerator(seed: seed)
        var tally = Tally()
        for _ in 0..<100 {
            var text = ""
            for _ in 0..<3 {
                text += ["", "<s>", "</s>"].randomElement(using: &generator) ?? ""
                text += RandomText.draw(length: .random(in: 0...20, using: &generator), using: &generator)
            }
            text = text.replacingScalar("\u{2581}", with: "_").strippedAtStart()
            let ids = tokenizer.encode(text)
            tally.compare(try tokenizer.decode(ids, skippingSpecialTokens: false), text, "round trip")
            var stream = tokenizer.streamDecoder(skippingSpecialTokens: false)
            let chunks = try ids.map { try stream.append($0) } + [stream.finish()]
            tally.compare(chunks.joined(), text, "stream")
        }
        tally.expect(200)
    }

    @Test("BOS and EOS are added as the configuration says")
    func ends() throws {
        var configuration = LlamaTokenizerConfiguration()
        configuration.addBosToken = false
        configuration.addEosToken = true
        let tokenizer = LlamaTokenizer(try TinyModel.tokenizer(), configuration: configuration)
        let plain = tokenizer.encode("star", addingSpecialTokens: false)
        #expect(tokenizer.encode("star") == plain + [2])
    }

    @Test("a directory without tokenizer.model is refused with the files looked for")
    func missing() throws {
        let directory = try Fixtures.temporaryDirectory()
        let path = directory.path(percentEncoded: false)
        #expect(
            throws: TokenizationError.missingTokenizer(
                directory: path, lookedFor: ["tokenizer.model"], hasTokenizerJSON: false)
        ) { try LlamaTokenizer(directory: directory) }
        try Data("{}".utf8).write(to: directory.appending(path: "tokenizer.json"))
        let error = #expect(throws: TokenizationError.self) { try LlamaTokenizer(directory: directory) }
        #expect(error?.description.contains("tokenizer.json is of another kind") == true)
    }
}

@Suite("Settings of a LLaMA tokenizer")
struct LlamaTokenizerConfigurationTests {
    /// A checkpoint directory of the tiny model with other JSON files.
    private func tokenizer(_ files: [String: String]) throws -> LlamaTokenizer {
        let directory = try Fixtures.temporaryDirectory()
        try Data(TinyModel.bytes()).write(to: directory.appending(path: "tokenizer.model"))
        for (name, text) in files { try Data(text.utf8).write(to: directory.appending(path: name)) }
        return try LlamaTokenizer(directory: directory)
    }

    @Test("without any JSON file the defaults of transformers hold")
    func defaults() throws {
        let tokenizer = try tokenizer([:])
        #expect(tokenizer.configuration.legacy)
        #expect(tokenizer.encode("a").first == 1)
        #expect(tokenizer.padID == nil)
    }

    @Test("added_tokens.json gives literal strings their ids, whether special or not")
    func addedTokens() throws {
        let tokenizer = try tokenizer([
            "tokenizer_config.json": #"{"legacy": true, "model_max_length": 1000000000000000019884624838656}"#,
            "special_tokens_map.json": #"{"pad_token": "<pad>", "bos_token": {"content": "<s>", "lstrip": false}}"#,
            "added_tokens.json": #"{"<pad>": 512, "<im_patch>": 513}"#,
        ])
        #expect(tokenizer.padID == 512)
        #expect(tokenizer.vocabularySize == 514)
        #expect(tokenizer.configuration.modelMaxLength == nil)
        let a = tokenizer.sentencePiece.encode("a")
        #expect(tokenizer.encode("a<im_patch>a<pad>") == [1] + a + [513] + a + [512])
        #expect(try tokenizer.decode(tokenizer.encode("a<im_patch>a<pad>")) == "a<im_patch>a")
    }

    @Test("added_tokens_decoder takes precedence over the two older files")
    func addedTokensDecoder() throws {
        let tokenizer = try tokenizer([
            "tokenizer_config.json": """
            {"added_tokens_decoder": {"600": {"content": "<img>", "rstrip": true, "lstrip": true, "special": true}},
             "additional_special_tokens": ["<img>"]}
            """,
            "added_tokens.json": #"{"<other>": 700}"#,
        ])
        let a = tokenizer.sentencePiece.encode("a")
        #expect(tokenizer.encode("a  <img>  a") == [1] + a + [600] + a)
        #expect(tokenizer.specialIDs.contains(600))
        #expect(!tokenizer.encode("<other>").contains(700))
    }

    @Test("a special token nobody gave an id receives the next free one")
    func freshID() throws {
        let tokenizer = try tokenizer(["special_tokens_map.json": #"{"pad_token": "[PAD]"}"#])
        #expect(tokenizer.padID == 512)
        #expect(tokenizer.encode("[PAD]") == [1, 512])
    }

    @Test("of added tokens the leftmost counts, and of those that begin together the longest")
    func longest() {
        let splitter = AddedTokenSplitter([1: AddedToken("<a>"), 2: AddedToken("<a>b"), 3: AddedToken("b<a>")])
        #expect(splitter.split("x<a>by") == [.text("x"), .token(2), .text("y")])
        #expect(splitter.split("b<a>b") == [.token(3), .text("b")])
        #expect(splitter.split("<a><a") == [.token(1), .text("<a")])
        #expect(splitter.split("<a>\u{301}") == [.token(1), .text("\u{301}")])
    }

    @Test("a single-word token counts only between spaces")
    func singleWord() {
        let splitter = AddedTokenSplitter([7: AddedToken("cat", isSingleWord: true)])
        #expect(splitter.split("a cat b") == [.text("a "), .token(7), .text(" b")])
        #expect(splitter.split("cats") == [.text("cats")])
        #expect(splitter.split("bobcat") == [.text("bobcat")])
    }

    @Test(
        "a wrong value is refused by file and key",
        arguments: [
            (#"{"add_bos_token": "yes"}"#, "add_bos_token"), (#"{"legacy": 1}"#, "legacy"),
            (#"{"bos_token": 3}"#, "bos_token"), (#"{"tokenizer_class": "T5Tokenizer"}"#, "tokenizer_class"),
            (#"{"added_tokens_decoder": {"x": {"content": "y"}}}"#, "added_tokens_decoder"),
            (#"{"added_tokens_decoder": {"-1": {"content": "y"}}}"#, "added_tokens_decoder"),
            (#"{"additional_special_tokens": "x"}"#, "additional_special_tokens"), ("[]", "(whole file)"),
            ("{", "(whole file)"), ("", "(whole file)"),
        ])
    func wrongValue(json: String, key: String) throws {
        let error = #expect(throws: TokenizationError.self) { try tokenizer(["tokenizer_config.json": json]) }
        guard case .invalidConfiguration(let file, let found, _) = error else {
            Issue.record("unexpected \(String(describing: error))")
            return
        }
        #expect(file.hasSuffix("tokenizer_config.json"))
        #expect(found == key)
    }
}
