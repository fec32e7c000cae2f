/// What a target throws when a JSON file is not what it should be; `key` is the path of a key, empty for the whole file.
package protocol JSONReadingError: Error {
    /// A file is not well-formed.
    static func invalidJSON(file: String, line: Int, column: Int, reason: String) -> Self
    /// A file holds another value than expected.
    static func unexpectedValue(file: String, key: String, expected: String, got: String) -> Self
}

extension JSONValue {
    /// Reads a text strictly, see `JSONParser`; `file` names it in errors.
    package init<Failure: JSONReadingError>(
        _ text: [UInt8], file: String, failing: Failure.Type
    ) throws(Failure) {
        do { self = try JSONParser.value(of: text) } catch {
            let (line, column) = error.position(in: text)
            throw .invalidJSON(file: file, line: line, column: column, reason: error.reason)
        }
    }
}

/// A JSON object of a file, whose values are asked for by key and type; errors name the file and the key's path.
///
/// A key whose value is null counts as absent, as for Hugging Face's readers.
package struct JSONObject<Failure: JSONReadingError> {
    /// The file's name, for errors.
    package let file: String
    /// The members by key.
    package let members: [String: JSONValue]
    /// The object's place in the file, with a dot behind it.
    private let path: String

    /// Reads a text whose outermost value is an object.
    package init(_ text: [UInt8], file: String) throws(Failure) {
        let value = try JSONValue(text, file: file, failing: Failure.self)
        guard let members = value.object else {
            throw .unexpectedValue(file: file, key: "", expected: "an object", got: value.kind)
        }
        self.init(file: file, members: members, path: "")
    }

    private init(file: String, members: [String: JSONValue], path: String) {
        (self.file, self.members, self.path) = (file, members, path)
    }

    /// The value of `key`; nil if there is none or it is null.
    package subscript(key: String) -> JSONValue? { members[key].flatMap { $0.isNull ? nil : $0 } }

    /// The value of `key` as `read` understands it; nil if there is none.
    package func value<Value>(
        _ key: String, expected: String, _ read: (JSONValue) -> Value?
    ) throws(Failure) -> Value? {
        guard let found = self[key] else { return nil }
        guard let value = read(found) else { throw error(key, expected: expected) }
        return value
    }

    /// The Boolean of `key`.
    package func bool(_ key: String) throws(Failure) -> Bool? { try value(key, expected: "true or false", \.bool) }

    /// The number of `key`.
    package func number(_ key: String) throws(Failure) -> Double? { try value(key, expected: "a number", \.double) }

    /// The whole number of `key`.
    package func integer(_ key: String) throws(Failure) -> Int? { try value(key, expected: "an integer", \.int) }

    /// The text of `key`.
    package func string(_ key: String) throws(Failure) -> String? { try value(key, expected: "a string", \.string) }

    /// The elements of `key`.
    package func array(_ key: String) throws(Failure) -> [JSONValue]? { try value(key, expected: "an array", \.array) }

    /// The object of `key`.
    package func object(_ key: String) throws(Failure) -> JSONObject? {
        try value(key, expected: "an object", \.object).map { nested($0, key) }
    }

    /// The elements of `key`, all of them objects.
    package func objects(_ key: String) throws(Failure) -> [JSONObject]? {
        guard let elements = try array(key) else { return nil }
        var objects: [JSONObject] = []
        for (index, element) in elements.enumerated() {
            let place = "\(key).\(index)"
            guard let members = element.object else {
                throw .unexpectedValue(file: file, key: path + place, expected: "an object", got: element.kind)
            }
            objects.append(nested(members, place))
        }
        return objects
    }

    /// The value that was read of `key`, which must be there.
    package func required<Value>(_ key: String, _ value: Value?, expected: String) throws(Failure) -> Value {
        guard let value else { throw error(key, expected: expected) }
        return value
    }

    /// Members that stand somewhere under `key`, as an object of their own.
    package func nested(_ members: [String: JSONValue], _ key: String) -> JSONObject {
        JSONObject(file: file, members: members, path: path + key + ".")
    }

    /// The error that `key` holds something else than expected.
    package func error(_ key: String, expected: String) -> Failure {
        .unexpectedValue(file: file, key: path + key, expected: expected, got: members[key]?.kind ?? "missing")
    }
}
