internal import Bytes
internal import ModelFiles
internal import PMoD

/// The `mod_*` keys of a config.json, as it spells them.
public typealias MixtureKeys = [String: AssembledModel.ConfigValue]

extension GGUFCheckpoint {
    /// Every key that a mixture of depths is made from, as config.json spells it.
    static let mixtureNames = PMoDConfig.keys.map(ConfigurationKey.snakeCase)

    /// The keys of a mixture of depths in a config.json; none if it describes a plain decoder.
    static func mixtureKeys(in config: JSONValue) -> MixtureKeys {
        guard config["mod_target_layers"]?.string != nil else { return [:] }
        var keys: MixtureKeys = [:]
        for name in mixtureNames { keys[name] = config[name].flatMap(AssembledModel.ConfigValue.init) }
        return keys
    }

    /// The keys of the file's own mixture of depths, which it has under its architecture's name.
    /// - Throws: `CheckpointError.unexpectedValue` for a value of a type that no key has.
    func mixtureKeys() throws -> MixtureKeys {
        guard architecture == Self.mixtureOfDepths else { return [:] }
        var keys: MixtureKeys = [:]
        for name in Self.mixtureNames {
            guard let value = file.metadata["\(architecture).\(name)"] else { continue }
            switch value {
            case .bool(let value): keys[name] = .bool(value)
            case .string(let value): keys[name] = .string(value)
            case .float64(let value): keys[name] = .number(value)
            case .int64(let value): keys[name] = .integer(Int(value))
            default:
                throw CheckpointError.unexpectedValue(
                    file: file.path, key: "\(architecture).\(name)", expected: "bool, string, float64 or int64",
                    got: "another type")
            }
        }
        return keys
    }

    /// The keys as metadata.
    static func mixtureMetadata(_ keys: MixtureKeys) -> [String: GGUFValue] {
        var values: [String: GGUFValue] = [:]
        for (name, value) in keys {
            let key = "\(mixtureOfDepths).\(name)"
            switch value {
            case .bool(let value): values[key] = .bool(value)
            case .string(let value): values[key] = .string(value)
            case .number(let value): values[key] = .float64(value)
            case .integer(let value): values[key] = .int64(Int64(value))
            case .array: continue  // no such key has one
            }
        }
        return values
    }
}
