package import Foundation

/// A file that appears under its name complete or not at all.
package struct AtomicFile {
    private let path: String
    private let temporaryPath: String

    /// A file to be written to `path`.
    package init(path: String) throws {
        let url = URL(filePath: path)
        guard !path.utf8.contains(0), !path.hasSuffix("/"), !url.lastPathComponent.isEmpty else {
            throw CheckpointError.unwritable(path: path, reason: "not the name of a file")
        }
        self.path = path
        // Beside the final name: a rename is atomic only within one file system.
        temporaryPath =
            url.deletingLastPathComponent()
            .appending(path: ".\(url.lastPathComponent).\(UUID().uuidString).partial").path
    }

    /// Lets `body` write the contents, flushes them to the disk and gives the file its name.
    ///
    /// On any failure the temporary file is removed.
    package func write(_ body: (FileHandle) throws -> Void) throws {
        let descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw CheckpointError.unwritable(path: path, reason: systemError()) }
        let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: false)
        do {
            do {
                try body(handle)
                try handle.synchronize()
                try handle.close()
            } catch {
                try? handle.close()
                throw error as? CheckpointError ?? .unwritable(path: path, reason: "\(error)")
            }
            guard rename(temporaryPath, path) == 0 else {
                throw CheckpointError.unwritable(path: path, reason: systemError())
            }
        } catch {
            unlink(temporaryPath)
            throw error
        }
        synchronizeDirectory()
    }

    /// Flushes the new name itself; the file is whole already, so a file system that cannot do this does no harm.
    private func synchronizeDirectory() {
        let descriptor = open(URL(filePath: path).deletingLastPathComponent().path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        close(descriptor)
    }

    private func systemError() -> String { String(cString: strerror(errno)) }
}
