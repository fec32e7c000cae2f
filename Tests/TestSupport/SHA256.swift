import ModelFiles

/// SHA-256 in lower-case hexadecimal, for comparing with recorded digests.
public func sha256(_ message: [UInt8]) -> String { SHA256.hexadecimal(message) }
