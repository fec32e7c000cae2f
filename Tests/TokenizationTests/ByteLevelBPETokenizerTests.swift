import TestSupport
import Testing

@testable import Tokenization

@Suite("Byte-level BPE")
struct ByteLevelBPETokenizerTests {
    /// The rule itself, without a heap: the first merge of the list that is anywhere, at its leftmost place.
    private func naiveIDs(_ text: String, _ plain: PlainVocabulary) -> [Int] {
        var symbols = text.utf8.map { String(Character(ByteAlphabet.scalars[Int($0)])) }
        merging: while true {
            for merge in plain.merges {
                let parts = merge.pieces(separatedBy: " ")
                let place = symbols.indices.dropLast().first { symbols[$0] == parts[0] && symbols[$0 + 1] == parts[1] }
                guard let place else { continue }
                symbols[place...place + 1] = [parts[0] + parts[1]]
                continue merging
            }
            return symbols.compactMap { plain.tokens.firstIndex(of: $0) }
        }
    }

    @Test("merging by a heap equals merging by the rule itself", .tags(.property), arguments: [UInt64](1...4))
    func naive(seed: UInt64) throws {
        let plain = TinyByteLevel.plain(preTokenizer: .gpt2)
        let tokenizer = try ByteLevelBPETokenizer(plain)
        var generator = SeededGenerator(seed: seed)
        var tally = Tally()
        for _ in 0..<200 {
            let text = String(
                (0..<Int.random(in: 0...24, using: &generator)).map { _ in
                    "abcche".randomElement(using: &generator) ?? "a"
                })
            tally.compare(tokenizer.encode(text), naiveIDs(text, plain), text)
        }
        tally.expect(200)
    }

    @Test(
        "decoding what was encoded gives the text back, whole and streamed", .tags(.property),
        arguments: PreTokenizer.allCases, [UInt64](1...3))
    func roundTrip(preTokenizer: PreTokenizer, seed: UInt64) throws {
        let tokenizer = try TinyByteLevel.tokenizer(preTokenizer)
        var generator = SeededGenerator(seed: seed)
        var tally = Tally()
        for _ in 0..<150 {
            var text = RandomText.draw(length: .random(in: 0...40, using: &generator), using: &generator)
            text.unicodeScalars.removeAll { String($0).utf8.contains(where: TinyByteLevel.missingBytes.contains) }
            if preTokenizer == .qwen2 { text = String(text.unicodeScalars.filter { $0.isASCII }) }
            let ids = tokenizer.encode(PromptText(quoting: text))
            tally.compare(try tokenizer.decode(ids), text, "whole")
            var stream = tokenizer.streamDecoder()
            tally.compare(try ids.map { try stream.append($0) }.joined() + stream.finish(), text, "stream")
        }
        tally.expect(300)
    }

    @Test("the chunks of any ids concatenate to their whole text", .tags(.property), arguments: [UInt64](1...3))
    func streaming(seed: UInt64) throws {
        let tokenizer = try TinyByteLevel.tokenizer()
        var generator = SeededGenerator(seed: seed)
        var tally = Tally()
        for _ in 0..<200 {
            let ids = (0..<Int.random(in: 0...20, using: &generator)).map { _ in
                Int.random(in: 3..<tokenizer.vocabularySize - 1, using: &generator)
            }
            var stream = tokenizer.streamDecoder()
            let chunks = try ids.map { try stream.append($0) } + [stream.finish()]
            let bytes = ids.flatMap { id -> [UInt8] in
                if case .bytes(let bytes) = tokenizer.vocabulary.surfaces[id] { bytes } else { [] }
            }
            tally.compare(chunks.joined(), String(decoding: bytes, as: UTF8.self), "\(ids)")
        }
        tally.expect(200)
    }

    @Test("text that somebody wrote never becomes a control token", .tags(.property), arguments: [UInt64](1...4))
    func injection(seed: UInt64) throws {
        let fragments = [
            "<|im_end|>", "<|im_", "start|>", "end|>", "<|endoftext|>", "\n", "a", " ", "<|", "|>", "<tool>",
        ]
        var generator = SeededGenerator(seed: seed)
        for preTokenizer in PreTokenizer.allCases {
            let tokenizer = try TinyByteLevel.tokenizer(preTokenizer)
            for _ in 0..<60 {
                var prompt = PromptText()
                var expected = 0
                for _ in 0..<Int.random(in: 1...6, using: &generator) {
                    let text = (0..<Int.random(in: 0...4, using: &generator))
                        .map { _ in fragments.randomElement(using: &generator) ?? "" }.joined()
                    if Bool.random(using: &generator) {
                        prompt.append(quoting: text)
                    } else {
                        prompt.append(
                            template: ["<|im_end|>", "<|im_start|>user\n", "x<|im_"].randomElement(using: &generator)
                                ?? "")
                    }
                }
                for part in prompt.parts where part.isTemplate {
                    expected += part.text.pieces(separatedBy: "<|im_end|>").count - 1
                    expected += part.text.pieces(separatedBy: "<|im_start|>").count - 1
                }
                let ids = tokenizer.encode(prompt)
                #expect(ids.count { tokenizer.specialIDs.contains($0) } == expected)
                #expect(try tokenizer.decode(ids, skippingSpecialTokens: false) == prompt.string)
            }
        }
    }

    @Test("a user's control token between two of the template's stays text")
    func injectionAlone() throws {
        let tokenizer = try TinyByteLevel.tokenizer()
        var prompt = PromptText(template: "<|im_start|>")
        prompt.append(quoting: "<|im_end|>")
        prompt.append(template: "<|im_end|>")
        let ids = tokenizer.encode(prompt)
        #expect(ids.first == 1)
        #expect(ids.last == 2)
        #expect(ids.count { $0 == 2 } == 1)
        let llama = try LlamaTokenizer(directory: TinyModel.directory)
        prompt = PromptText(template: "<s>")
        prompt.append(quoting: "</s>")
        prompt.append(template: "</s>")
        #expect(llama.encode(prompt, addingSpecialTokens: false).count { $0 == 2 } == 1)
    }

    @Test("quoted text without control tokens has the ids of its string", .tags(.property), arguments: [UInt64](1...3))
    func quoting(seed: UInt64) throws {
        let tokenizers: [any Tokenizer] = [
            try TinyByteLevel.tokenizer(.llama3), try LlamaTokenizer(directory: TinyModel.directory),
        ]
        var generator = SeededGenerator(seed: seed)
        var tally = Tally()
        for tokenizer in tokenizers {
            for _ in 0..<100 {
                let text = RandomText.draw(length: .random(in: 0...20, using: &generator), using: &generator)
                    .replacing(exactly: "<s>", with: "")
                var prompt = PromptText(template: "USER: ")
                prompt.append(quoting: text)
                prompt.append(template: " ASSISTANT:")
                tally.compare(tokenizer.encode(prompt), tokenizer.encode(prompt.string), text.debugDescription)
            }
        }
        tally.expect(200)
    }

    @Test(
        "the work of encoding grows almost linearly with the text",
        arguments: ["a", "the abc ", " ", "日本", "😀", "aaaaaaab", "!", "1", "\n"])
    func nearlyLinear(unit: String) throws {
        let tokenizer = try TinyByteLevel.tokenizer()
        func work(bytes: Int) -> Double {
            Double(tokenizer.work(of: String(repeating: unit, count: bytes / unit.utf8.count)) + bytes)
        }
        // 64 times the text: n log n grows by 64 * 20/14 = 91, a quadratic loop by 4096.
        #expect(work(bytes: 1 << 20) / work(bytes: 1 << 14) < 64 * 20 / 14 * 1.2)
        #expect(work(bytes: 1 << 20) < 40 * Double(1 << 20))
    }

    @Test("bytes without a token are dropped, and their neighbours join only where Hugging Face's rule is asked for")
    func missingBytes() throws {
        var plain = TinyByteLevel.plain(preTokenizer: .gpt2)
        let tokenizer = try ByteLevelBPETokenizer(plain)
        plain.joinsAcrossMissingBytes = true
        #expect(try ByteLevelBPETokenizer(plain).encode("!\u{4}!") == tokenizer.encode("!!"))
        #expect(tokenizer.encode("!\u{4}!") == [tokenizer.encode("!")[0], tokenizer.encode("!")[0]])
        #expect(tokenizer.encode("\u{4}").isEmpty)
    }

    @Test("the beginning of a character that does not go on is one U+FFFD")
    func replacement() throws {
        let tokenizer = try TinyByteLevel.tokenizer()
        func id(_ byte: UInt8) -> Int { Int(tokenizer.vocabulary.byteIDs[Int(byte)]) }
        #expect(try tokenizer.decode([0xE6, 0x97].map(id)) == "\u{FFFD}")
        #expect(try tokenizer.decode([0xE6, 0x97, 0x41].map(id)) == "\u{FFFD}A")
        #expect(try tokenizer.decode([0x85, 0x88].map(id)) == "\u{FFFD}\u{FFFD}")
        #expect(try tokenizer.decode([0xF0, 0x9F, 0x98].map(id) + [2] + [0x80].map(id)) == "\u{FFFD}\u{FFFD}")
    }

    @Test("BOS comes first once where the vocabulary wants it, and literal tokens keep their ids in any text")
    func ends() throws {
        var plain = TinyByteLevel.plain(preTokenizer: .llama3)
        plain.addsBOS = nil
        plain.addsEOS = true
        let tokenizer = try ByteLevelBPETokenizer(plain)
        #expect(tokenizer.addsBOS)
        #expect(tokenizer.encode("") == [1, 2])
        #expect(tokenizer.encode("<|im_start|>") == [1, 2])
        let tool = plain.tokens.count - 1
        #expect(tokenizer.encode(PromptText(quoting: "<tool>")) == [1, tool, 2])
        #expect(try tokenizer.decode([1, tool, 2]) == "<tool>")
    }

    @Test(
        "values that do not fit together are refused",
        arguments: [
            { $0.tokens = [] }, { $0.types = [1] }, { $0.types[5] = 9 }, { $0.bosID = -1 }, { $0.eosID = 100_000 },
            { $0.merges.append("a") }, { $0.merges.append("a  b") }, { $0.merges.append("日 本") },
            { $0.merges.append("z q") }, { $0.merges.append($0.merges[0]) }, { $0.tokens[10] = $0.tokens[11] },
            { $0.merges.append("<|im_start |>") }, { $0.preTokenizer = "falcon" }, { $0.preTokenizer = nil },
            { $0.model = "bert" }, { $0.model = "llama" },
        ] as [@Sendable (inout PlainVocabulary) -> Void])
    func refusals(change: @Sendable (inout PlainVocabulary) -> Void) throws {
        var plain = TinyByteLevel.plain(preTokenizer: .gpt2)
        _ = try plain.tokenizer()
        change(&plain)
        let error = #expect(throws: TokenizationError.self) { try plain.tokenizer() }
        #expect(error?.description.contains("tiny.gguf") == true)
    }
}
