// Writes OCI image archives (image-spec 1.0, image-layout in a tar) without a container engine.
// Reproducible: the same files give the same bytes (times are zero, owners root, order as added).
#pragma once

#include <map>
#include <string>
#include <vector>

namespace keles::pack {

// An uncompressed layer under construction. Parents must be added before what is in them.
class Layer {
 public:
  void add_directory(const std::string& path, int mode = 0755);
  void add_file(const std::string& path, const std::string& content, int mode);
  void add_link(const std::string& path, const std::string& target);
  std::string bytes() const;

 private:
  void header(const std::string& path, char type, int mode, size_t size, const std::string& target);
  std::string tar_;
};

struct Image {
  std::string name;                 // "keles.dev/hello:1"
  std::vector<std::string> layers;  // Layer::bytes()
  std::vector<std::string> env, entrypoint, command;
  std::string user, working_directory;
  std::vector<std::string> ports;  // "8000/tcp"
};

// The archive: blobs shared by images are there once.
std::string write_archive(const std::vector<Image>& images);

std::string sha256_hex(const std::string& bytes);

}  // namespace keles::pack
