import Foundation
import LLaVAPipeline
import ModelFiles
import TestSupport
import Testing
import Tokenization

@Suite("Vocabularies in GGUF files")
struct GGUFVocabularyTests {
    /// Bytes, two longer tokens of which `ab` alone has a merge, and one that takes white space with it.
    private func vocabulary(_ preTokenizer: String, ignoresMerges: Bool?) -> PlainVocabulary {
        let bytes = (0..<256).map { byte in
            // GPT-2's letters for bytes: printable ones are themselves, the others begin at U+0100.
            let printable = (33...126).contains(byte) || (161...172).contains(byte) || (174...255).contains(byte)
            let rank = (0..<byte).count { !((33...126).contains($0) || (161...172).contains($0) || $0 >= 174) }
            return String(Character(Unicode.Scalar(UInt32(printable ? byte : 256 + rank)) ?? " "))
        }
        var vocabulary = PlainVocabulary(model: "gpt2", tokens: bytes + ["ab", "abc", "<x>"], source: "test")
        vocabulary.preTokenizer = preTokenizer
        vocabulary.types = Array(repeating: 1, count: 258) + [4]
        vocabulary.merges = ["a b"]
        vocabulary.ignoresMerges = ignoresMerges
        vocabulary.normalizesText = true
        vocabulary.joinsAcrossMissingBytes = true
        vocabulary.addedTokens = [258: AddedToken("<x>", stripsRight: true)]
        return vocabulary
    }

    private func writtenAndRead(_ vocabulary: PlainVocabulary) throws -> (name: String?, vocabulary: PlainVocabulary) {
        let path = try Fixtures.temporaryDirectory().appending(path: "words.gguf").path
        var metadata = vocabulary.ggufMetadata
        metadata["general.architecture"] = .string("llama")
        try GGUFWriter.write([:], metadata: metadata, to: path)
        let file = try GGUFFile(path: path)
        return (file.metadata["tokenizer.ggml.pre"]?.string, try GGUFCheckpoint(file).vocabulary())
    }

    @Test(
        "what GGUF has no key for comes back, and a rule of merging that llama.cpp does not know is named as one",
        arguments: [
            ("gpt-2", true, "vlm-words-gpt-2"), ("gpt-2", false, "gpt-2"), ("gpt-2", nil, "gpt-2"),
            ("llama-bpe", true, "llama-bpe"), ("llama-bpe", false, "vlm-merges-llama-bpe"),
            ("llama-bpe", nil, "llama-bpe"),
        ] as [(String, Bool?, String)])
    func roundTrip(preTokenizer: String, ignoresMerges: Bool?, name: String) throws {
        let original = vocabulary(preTokenizer, ignoresMerges: ignoresMerges)
        let (written, read) = try writtenAndRead(original)
        #expect(written == name && read.preTokenizer == preTokenizer)
        #expect(read.normalizesText == true && read.joinsAcrossMissingBytes)
        #expect(read.addedTokens[258]?.stripsRight == true && read.addedTokens[258]?.stripsLeft == false)
        let (one, other) = (try original.tokenizer(), try read.tokenizer())
        for text in ["abc", "ab abc", "a<x>  b", "e\u{301}"] {
            #expect(one.encode(text) == other.encode(text), "\(text)")
        }
        // Taken whole, or merged to `ab` and `c`.
        let isWhole = ignoresMerges ?? (preTokenizer == "llama-bpe")
        #expect(other.encode("abc", addingSpecialTokens: false) == (isWhole ? [257] : [256, 99]))
    }

    @Test("ids beyond the vocabulary are refused by name")
    func strangeIDs() throws {
        let path = try Fixtures.temporaryDirectory().appending(path: "words.gguf").path
        var metadata = vocabulary("gpt-2", ignoresMerges: nil).ggufMetadata
        metadata["general.architecture"] = .string("llama")
        metadata["tokenizer.ggml.vlm_strips_left"] = .array(.int32([259]))
        try GGUFWriter.write([:], metadata: metadata, to: path)
        let error = #expect(throws: CheckpointError.self) { try GGUFCheckpoint(GGUFFile(path: path)).vocabulary() }
        #expect("\(error, default: "")".contains("vlm_strips_left"))
    }
}
