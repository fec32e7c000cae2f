internal import CCrypto

/// The SHA-256 digest of bytes that come in pieces (FIPS 180-4), by libcrypto.
public final class SHA256 {
    private let context = EVP_MD_CTX_new()

    /// The digest of nothing so far.
    public init() {
        let isReady = EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1
        precondition(isReady, "libcrypto has no SHA-256")
    }

    deinit { EVP_MD_CTX_free(context) }

    /// The digest of some bytes, in lower-case hexadecimal.
    public static func hexadecimal(_ bytes: [UInt8]) -> String {
        let digest = SHA256()
        digest.update(bytes)
        return digest.hexadecimal()
    }

    /// Takes the next bytes.
    public func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

    /// Takes the bytes of a text in UTF-8.
    public func update(_ text: String) { update(Array(text.utf8)) }

    /// Takes the next bytes.
    package func update(_ bytes: UnsafeRawBufferPointer) {
        let isTaken = EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1
        precondition(isTaken, "libcrypto refused \(bytes.count) bytes")
    }

    /// The digest of all bytes so far, in lower-case hexadecimal; more may follow.
    public func hexadecimal() -> String {
        let copy = EVP_MD_CTX_new()
        defer { EVP_MD_CTX_free(copy) }
        var digest = [UInt8](repeating: 0, count: 32)
        let isDone = EVP_MD_CTX_copy_ex(copy, context) == 1 && EVP_DigestFinal_ex(copy, &digest, nil) == 1
        precondition(isDone, "libcrypto could not finish a digest")
        return digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
