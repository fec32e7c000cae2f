internal import Tensors

/// The classes and functions that a pickle of weights may name; any other name refuses the file.
enum PickleGlobal: Equatable {
    /// `torch.FloatStorage` and its like.
    case storage(ElementType)
    /// `torch._utils._rebuild_tensor_v2`, which makes a tensor over a storage.
    case rebuildTensor
    /// `torch._utils._rebuild_parameter`, which wraps a tensor.
    case rebuildParameter
    /// `torch._tensor._rebuild_from_type_v2`, which calls one of the others and sets the class of the result.
    case rebuildFromType
    /// `collections.OrderedDict`.
    case orderedDictionary
    /// `torch.Size`, a tuple.
    case size
    /// `torch.device`, whose result is ignored.
    case device
    /// A constant or class that is only named, never called: `torch.float16`, `torch.nn.parameter.Parameter`.
    case inert

    /// The entry of the allow-list; nil if it has none.
    init?(module: String, name: String) {
        switch (module, name) {
        case ("torch._utils", "_rebuild_tensor_v2"): self = .rebuildTensor
        case ("torch._utils", "_rebuild_parameter"): self = .rebuildParameter
        case ("torch._tensor", "_rebuild_from_type_v2"): self = .rebuildFromType
        case ("collections", "OrderedDict"): self = .orderedDictionary
        case ("torch", "Size"): self = .size
        case ("torch", "device"): self = .device
        case ("torch.nn.parameter", "Parameter"), ("torch", "Tensor"): self = .inert
        case ("torch", let name):
            if let elementType = Self.storages[name] {
                self = .storage(elementType)
            } else if Self.elementTypes.contains(name) {
                self = .inert
            } else {
                return nil
            }
        default: return nil
        }
    }

    private static let storages: [String: ElementType] = [
        "DoubleStorage": .float64, "FloatStorage": .float32, "HalfStorage": .float16, "BFloat16Storage": .bfloat16,
        "LongStorage": .int64, "IntStorage": .int32, "ShortStorage": .int16, "CharStorage": .int8,
        "ByteStorage": .uint8, "BoolStorage": .bool,
    ]

    private static let elementTypes: Set = [
        "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool",
    ]
}

extension PickleMachine {
    /// The result of calling `function`, which must be on the allow-list, with a tuple of arguments.
    mutating func apply(_ function: Value, to arguments: Value) throws -> Value {
        guard case .global(var global) = function, var arguments = items(of: arguments) else {
            throw damaged(expected: "a function and a tuple of arguments", got: "other values")
        }
        if global == .rebuildFromType {
            // (function, class, arguments, attributes): the class and the attributes do not matter to weights.
            guard arguments.count >= 3, case .global(let inner) = arguments[0], let values = items(of: arguments[2])
            else { throw damaged(expected: "function, class and arguments", got: "other arguments") }
            (global, arguments) = (inner, values)
        }
        switch global {
        case .rebuildTensor:
            return try tensor(arguments)
        case .rebuildParameter:
            guard let tensor = arguments.first, case .tensor = tensor else {
                throw damaged(expected: "the tensor of a parameter", got: "other arguments")
            }
            return tensor
        case .orderedDictionary:
            let pairs = try arguments.first.map { try members(pairs: $0) } ?? []
            return object(.dictionary, pairs)
        case .size:
            let extents = arguments.first.flatMap { items(of: $0) } ?? []
            try takeCopies(extents.count)
            return object(.tuple, extents)
        case .device:
            return .opaque
        case .storage, .inert, .rebuildFromType:
            throw damaged(expected: "a function", got: "\(global), which is not called in files of weights")
        }
    }

    /// Keys and values in turn, from a list of pairs.
    private mutating func members(pairs: Value) throws -> [Value] {
        guard let pairs = items(of: pairs) else { throw damaged(expected: "a list of pairs", got: "another value") }
        try takeCopies(pairs.count * 2)
        return try pairs.flatMap { pair in
            guard let items = items(of: pair), items.count == 2 else {
                throw damaged(expected: "a pair", got: "another value")
            }
            return items
        }
    }
}
