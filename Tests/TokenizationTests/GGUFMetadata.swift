import Foundation
import TestSupport
import Testing
import Tokenization

/// The metadata of a GGUF file, read as plainly as can be for the tests of tokenizers.
struct GGUFMetadata {
    enum Value {
        case integer(Int)
        case float(Float)
        case string(String)
        case array([Value])
    }

    struct Malformed: Error {}

    private(set) var values: [String: Value] = [:]
    private let data: Data
    private var position = 4

    init(contentsOf url: URL) throws {
        data = try Data(contentsOf: url, options: .alwaysMapped)
        guard data.prefix(4).elementsEqual("GGUF".utf8) else { throw Malformed() }
        _ = try integer(UInt32.self)
        _ = try integer(UInt64.self)
        for _ in 0..<(try integer(UInt64.self)) {
            let key = try string()
            values[key] = try value(ofType: integer(UInt32.self))
        }
    }

    private mutating func integer<Number: FixedWidthInteger>(_ type: Number.Type) throws -> Number {
        let end = position + MemoryLayout<Number>.size
        guard end <= data.count else { throw Malformed() }
        defer { position = end }
        return data[position..<end].withUnsafeBytes { Number(littleEndian: $0.loadUnaligned(as: Number.self)) }
    }

    private mutating func string() throws -> String {
        let count = Int(try integer(UInt64.self))
        guard count <= data.count - position else { throw Malformed() }
        defer { position += count }
        return String(decoding: data[position..<position + count], as: UTF8.self)
    }

    private mutating func value(ofType type: UInt32) throws -> Value {
        switch type {
        case 0, 7: return .integer(Int(try integer(UInt8.self)))
        case 1: return .integer(Int(try integer(Int8.self)))
        case 2: return .integer(Int(try integer(UInt16.self)))
        case 3: return .integer(Int(try integer(Int16.self)))
        case 4: return .integer(Int(try integer(UInt32.self)))
        case 5: return .integer(Int(try integer(Int32.self)))
        case 6: return .float(Float(bitPattern: try integer(UInt32.self)))
        case 8: return .string(try string())
        case 9:
            let element = try integer(UInt32.self)
            let count = try integer(UInt64.self)
            return .array(try (0..<count).map { _ in try value(ofType: element) })
        case 10: return .integer(Int(truncatingIfNeeded: try integer(UInt64.self)))
        case 11: return .integer(Int(try integer(Int64.self)))
        case 12: return .float(Float(Double(bitPattern: try integer(UInt64.self))))
        default: throw Malformed()
        }
    }

    func integer(_ key: String) -> Int? { if case .integer(let value) = values[key] { value } else { nil } }
    func string(_ key: String) -> String? { if case .string(let value) = values[key] { value } else { nil } }
    func array(_ key: String) -> [Value] { if case .array(let values) = values[key] { values } else { [] } }

    /// The vocabulary under `tokenizer.ggml.*`.
    func vocabulary(source: String) throws -> PlainVocabulary {
        func strings(_ key: String) -> [String] {
            array(key).compactMap { if case .string(let value) = $0 { value } else { nil } }
        }
        var vocabulary = PlainVocabulary(
            model: try #require(string("tokenizer.ggml.model")), tokens: strings("tokenizer.ggml.tokens"),
            source: source)
        vocabulary.preTokenizer = string("tokenizer.ggml.pre")
        vocabulary.types = array("tokenizer.ggml.token_type").compactMap {
            if case .integer(let value) = $0 { value } else { nil }
        }
        vocabulary.scores = array("tokenizer.ggml.scores").compactMap {
            if case .float(let value) = $0 { value } else { nil }
        }
        vocabulary.merges = strings("tokenizer.ggml.merges")
        vocabulary.bosID = integer("tokenizer.ggml.bos_token_id")
        vocabulary.eosID = integer("tokenizer.ggml.eos_token_id")
        vocabulary.unknownID = integer("tokenizer.ggml.unknown_token_id")
        vocabulary.paddingID = integer("tokenizer.ggml.padding_token_id")
        vocabulary.addsBOS = integer("tokenizer.ggml.add_bos_token").map { $0 != 0 }
        vocabulary.addsEOS = integer("tokenizer.ggml.add_eos_token").map { $0 != 0 }
        vocabulary.addsSpacePrefix = integer("tokenizer.ggml.add_space_prefix").map { $0 != 0 }
        return vocabulary
    }
}
