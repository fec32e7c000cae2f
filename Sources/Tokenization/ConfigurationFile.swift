internal import Bytes
import Foundation

/// A JSON file beside the weights of a checkpoint.
typealias ConfigurationFile = JSONObject<TokenizationError>

extension ConfigurationFile {
    /// A special token, and whether it is a bare string rather than an object.
    typealias WrittenToken = (token: AddedToken, isBare: Bool)

    /// Reads the file at `url`; nil when there is none.
    init?(_ url: URL) throws(TokenizationError) {
        let file = url.path(percentEncoded: false)
        guard FileManager.default.fileExists(atPath: file) else { return nil }
        let data: Data
        // Data(contentsOf:) of swift-foundation leaks a page for every empty file.
        do { data = try FileHandle(forReadingFrom: url).readToEnd() ?? Data() } catch {
            throw .unreadableFile(file: file, reason: error.localizedDescription)
        }
        try self.init([UInt8](data), file: file)
    }

    /// The keys in ascending order.
    var keys: [String] { members.keys.sorted() }

    /// Whether the key is there, be it with null.
    func has(_ key: String) -> Bool { members[key] != nil }

    /// The token under `key`; nil when absent, null or empty.
    func token(_ key: String) throws(TokenizationError) -> WrittenToken? {
        try self[key].flatMap { value throws(TokenizationError) in try token(value, key) }
    }

    /// The tokens of the array under `key`; none when absent or null.
    func tokens(_ key: String) throws(TokenizationError) -> [WrittenToken] {
        var tokens: [WrittenToken] = []
        for value in try array(key) ?? [] {
            guard let token = try token(value, key) else { throw invalid(key, "a token in it is empty") }
            tokens.append(token)
        }
        return tokens
    }

    /// The error that `key` holds something unusable.
    func invalid(_ key: String, _ problem: String) -> TokenizationError {
        .invalidConfiguration(file: file, key: key, problem: problem)
    }

    private func token(_ value: JSONValue, _ key: String) throws(TokenizationError) -> WrittenToken? {
        switch value {
        case .null, .string(""): return nil
        case .string(let content): return (AddedToken(content), true)
        case .object(let members):
            let object = nested(members, key)
            guard let content = try object.string("content"), !content.isEmpty else {
                throw invalid(key, "a token in it has no content")
            }
            let token = AddedToken(
                content, stripsLeft: try object.bool("lstrip") ?? false,
                stripsRight: try object.bool("rstrip") ?? false,
                isSingleWord: try object.bool("single_word") ?? false, isSpecial: try object.bool("special") ?? false)
            return (token, false)
        default: throw invalid(key, "it is neither a string nor a token object")
        }
    }
}
