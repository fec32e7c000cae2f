import Foundation

/// Byte-level byte-pair encoding, as GPT-2, SmolLM, Llama 3 and Qwen 2 use it: text is cut into stretches, and within
/// each the bytes merge by the rank of the merge.
///
/// Bytes that the vocabulary has no token for are dropped; every other text decodes to itself.
/// Source: openai/gpt-2, `src/encoder.py`; huggingface/tokenizers, `ByteLevel` and `BPE`.
public struct ByteLevelBPETokenizer: Tokenizer {
    /// The rule that cuts text into stretches.
    public let preTokenizer: PreTokenizer
    /// The id that begins a sequence, if there is one.
    public let bosID: Int?
    /// The id that ends a sequence, if there is one.
    public let eosID: Int?
    /// The id that stands for text the vocabulary lacks, if there is one.
    public let unkID: Int?
    /// The id that fills up short sequences, if there is one.
    public let padID: Int?
    /// Whether encoding puts `bosID` in front unless told otherwise.
    public let addsBOS: Bool
    /// Whether encoding puts `eosID` behind unless told otherwise.
    public let addsEOS: Bool
    /// The ids of control tokens, which decoding skips unless asked not to.
    public let specialIDs: Set<Int>

    let vocabulary: ByteLevelVocabulary
    private let addsSpacePrefix: Bool
    private let ignoresMerges: Bool
    private let normalizesText: Bool
    private let joinsAcrossMissingBytes: Bool
    /// All literal tokens, for the template's text.
    private let literalTokens: AddedTokenSplitter
    /// Literal tokens that are no control tokens, for text that somebody wrote.
    private let plainTokens: AddedTokenSplitter
    private let controlIDs: ExactDictionary<Int>
    private let surfaces: SurfaceTable
    private let surfacesWithoutSpecial: SurfaceTable

    /// A tokenizer of a `gpt2` vocabulary given as plain values.
    ///
    /// - Throws: `TokenizationError.unsupportedModel` for an unknown pre-tokeniser, and
    ///   `TokenizationError.invalidVocabulary` for values that do not fit together.
    public init(_ plain: PlainVocabulary) throws(TokenizationError) {
        guard let preTokenizer = plain.preTokenizer.flatMap(PreTokenizer.init(name:)) else {
            throw .unsupportedModel(
                file: plain.source, field: "the pre-tokeniser",
                found: plain.preTokenizer?.debugDescription ?? "not named",
                supported: PreTokenizer.allCases.map(\.rawValue).joined(separator: ", "))
        }
        let vocabulary = try ByteLevelVocabulary(plain)
        self.preTokenizer = preTokenizer
        self.vocabulary = vocabulary
        bosID = plain.bosID
        eosID = plain.eosID
        unkID = plain.unknownID
        padID = plain.paddingID
        addsBOS = plain.addsBOS ?? (preTokenizer == .llama3) && plain.bosID != nil
        addsEOS = plain.addsEOS == true && plain.eosID != nil
        addsSpacePrefix = plain.addsSpacePrefix ?? false
        ignoresMerges = plain.ignoresMerges ?? (preTokenizer == .llama3)
        normalizesText = plain.normalizesText ?? (preTokenizer == .qwen2)
        joinsAcrossMissingBytes = plain.joinsAcrossMissingBytes

        var literal: [Int: AddedToken] = [:]
        var control = ExactDictionary<Int>()
        var special: Set<Int> = []
        for (id, kind) in vocabulary.kinds.enumerated() where kind != .normal && kind != .byte {
            let text = plain.tokens[id]
            if kind == .control || kind == .unknown {
                special.insert(id)
                if control[text] == nil { control[text] = id }
            }
            if kind != .unused, !text.isEmpty { literal[id] = plain.addedTokens[id] ?? AddedToken(text) }
        }
        specialIDs = special
        controlIDs = control
        literalTokens = AddedTokenSplitter(literal)
        plainTokens = AddedTokenSplitter(literal.filter { !special.contains($0.key) })
        surfaces = SurfaceTable(
            surfaces: vocabulary.surfaces, stripsLeadingSpace: false, stripsEveryLeadingSpace: false,
            joinsBrokenCharacters: true)
        var hidden = surfaces
        for id in special { hidden.surfaces[id] = .hidden }
        surfacesWithoutSpecial = hidden
    }

    /// The number of ids.
    public var vocabularySize: Int { vocabulary.kinds.count }

    /// A line about the tokenizer for a person to read.
    public var summary: String { "byte-level BPE (\(preTokenizer.rawValue)), \(vocabularySize) tokens" }

    /// The ids of a prompt, with BOS and EOS as the settings say unless told otherwise; a prompt that begins with BOS gets
    /// no second one. O(n log n) in the bytes of the prompt.
    public func encode(_ prompt: PromptText, addingSpecialTokens: Bool = true) -> [Int] {
        var ids: [Int] = []
        for part in AddedTokenSplitter.split(prompt, template: literalTokens, quoted: plainTokens) {
            switch part {
            case .token(let id): ids.append(id)
            case .text(let text): append(text, to: &ids)
            }
        }
        guard addingSpecialTokens else { return ids }
        if addsBOS, let bosID, ids.first != bosID { ids.insert(bosID, at: 0) }
        if addsEOS, let eosID { ids.append(eosID) }
        return ids
    }

    /// The id of the control token that is written as `text`; nil when there is none.
    public func controlID(of text: String) -> Int? { controlIDs[text] }

    /// A decoder that takes ids one at a time, for showing an answer while it is made.
    public func streamDecoder(skippingSpecialTokens: Bool = true) -> StreamDecoder {
        StreamDecoder(skippingSpecialTokens ? surfacesWithoutSpecial : surfaces)
    }

    /// Merge lookups and heap steps that encoding `text` takes.
    func work(of text: String) -> Int {
        var ids: [Int] = []
        return append(text, to: &ids)
    }

    /// Adds the ids of text without literal tokens, and returns the work it took.
    @discardableResult
    private func append(_ text: String, to ids: inout [Int]) -> Int {
        var text = normalizesText ? text.precomposedStringWithCanonicalMapping : text
        if addsSpacePrefix, text.unicodeScalars.first?.properties.isWhitespace == false { text = " " + text }
        let bytes = Array(text.utf8)
        var merger = SymbolMerger(vocabulary.merges)
        preTokenizer.forEachStretch(of: ClassifiedText(text)) { stretch in
            if ignoresMerges, let id = vocabulary.tokens.id(of: bytes, stretch) {
                ids.append(id)
                return
            }
            for index in stretch {
                let id = vocabulary.byteIDs[Int(bytes[index])]
                if id < 0, joinsAcrossMissingBytes { continue }
                merger.append(start: index, count: 1, id: id)
            }
            merger.run { if $0.id >= 0 { ids.append(Int($0.id)) } }
        }
        return merger.work
    }
}
