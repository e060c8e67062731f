// The volumes of the local driver: directories and files of this host, below one directory.
//
//   <directory>/volumes/ID/{vol_data.json, data/ | image}      <directory>/snapshots/ID/...
//
// A volume of kind "directory" is a directory: as large as the file system that it lies in, its
// size is not enforced. One of kind "image" is a file of its size, with a file system in it or as a
// block device, through a loop device.
//
// Everything may be asked again and does nothing then (CSI v1, "idempotent"). Blocking; one caller
// at a time. Copies take no caller's time: kUnavailable until they have ended. What is copied can
// not be used meanwhile, and what is in use not be copied (kConflict). Errors are what
// status_from_grpc() makes of CSI's codes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "csi/local_host.h"

namespace keles::csi {

struct LocalVolume {
  LocalVolume() = default;
  std::string id, name;
  bool image = false;
  std::string fs_type;  // of an image; "": a block device
  int64_t bytes = 0;
  std::string source;   // the snapshot or the volume that it was copied from
  int64_t made_at = 0;  // of a snapshot: seconds since 1970
  int64_t fitted = 0;   // of an image: what its file system was last made for
  bool opened = false;  // of an image: everybody was let into its file system, once
  bool full = false;    // of an image: the host's room for all of it is taken, not as it is written
};

struct LocalUsage {
  int64_t total = 0, used = 0, available = 0;
  int64_t inodes = 0, inodes_used = 0, inodes_free = 0;
};

class LocalVolumes {
 public:
  // The directory is made when it is missing.
  explicit LocalVolumes(std::string directory) : directory_(std::move(directory)) {}
  Status start() const;

  // `wanted.name` says which: one of that name is given as it is when it fits (kAlreadyExists
  // otherwise). `copy_of`: a snapshot's or a volume's id.
  struct Wanted {
    Wanted() = default;
    std::string name, fs_type;
    bool image = false;
    int64_t bytes = 0, limit = 0;  // limit 0: none
    bool full = false;
    std::string snapshot, volume;  // to be copied
    bool ephemeral = false;        // goes when it is unpublished
  };
  Result<LocalVolume> create(const Wanted& wanted);
  Result<LocalVolume> find(const std::string& id) const;  // kNotFound
  Status remove(const std::string& id);
  std::vector<LocalVolume> all() const;
  // Grows it; never smaller. The file system in it follows by grow_mounted().
  Result<LocalVolume> grow(const std::string& id, int64_t bytes) const;
  Status grow_mounted(const std::string& id) const;
  // Takes the host's room for all of an image, or gives back what is empty in it (while nobody has
  // it). kBadRequest for a directory, kExpired where there is no room.
  Status allocate(const std::string& id, bool full) const;

  Result<LocalVolume> create_snapshot(const std::string& name, const std::string& volume,
                                      int64_t now);
  Status remove_snapshot(const std::string& id);
  std::vector<LocalVolume> snapshots() const;

  // An image's file system is mounted at `staging`; a directory needs nothing.
  Status stage(const std::string& id, const std::string& staging,
               const std::vector<std::string>& options) const;
  Status unstage(const std::string& id, const std::string& staging) const;
  Status publish(const std::string& id, const std::string& staging, const std::string& target,
                 bool read_only) const;
  // An ephemeral volume goes with it.
  Status unpublish(const std::string& id, const std::string& target);
  Result<LocalUsage> usage(const std::string& id, const std::string& path) const;
  int64_t available_bytes() const;

 private:
  std::string place(const std::string& id) const { return directory_ + "/volumes/" + id; }
  std::string snapshot_place(const std::string& id) const {
    return directory_ + "/snapshots/" + id;
  }
  Result<LocalVolume> load(const std::string& at, const std::string& id) const;
  Status copy(const LocalVolume& of, const std::string& from, const std::string& to);
  Status clear_place(const std::string& at) const;
  Status check(LocalVolume* v, const std::string& device) const;
  Result<std::string> device_of(const std::string& id, bool attach) const;

  std::string directory_;
  Copies copies_;
};

// A name as part of a path: itself, or its SHA-256 where it could be anything else.
std::string local_id(const std::string& name);

}  // namespace keles::csi
