#include "pack/oci_archive.h"

#include <openssl/evp.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace keles::pack {
namespace {

std::string quoted(const std::string& s) {
  std::string out = "\"";
  for (char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string list(const std::vector<std::string>& items) {
  std::string out = "[";
  for (const std::string& i : items) out += (out.size() > 1 ? "," : "") + quoted(i);
  return out + "]";
}

std::string descriptor(const std::string& media_type, const std::string& blob,
                       const std::string& more = "") {
  return "{\"mediaType\":\"application/vnd.oci.image." + media_type +
         "\",\"digest\":\"sha256:" + sha256_hex(blob) +
         "\",\"size\":" + std::to_string(blob.size()) + more + "}";
}

const char* architecture() {
#if defined(__aarch64__)
  return "arm64";
#else
  return "amd64";
#endif
}

std::string config_of(const Image& image) {
  std::string c = "{\"architecture\":\"" + std::string(architecture()) + "\",\"os\":\"linux\",";
  c += "\"config\":{\"Env\":" + list(image.env);
  if (!image.entrypoint.empty()) c += ",\"Entrypoint\":" + list(image.entrypoint);
  if (!image.command.empty()) c += ",\"Cmd\":" + list(image.command);
  if (!image.user.empty()) c += ",\"User\":" + quoted(image.user);
  if (!image.working_directory.empty()) c += ",\"WorkingDir\":" + quoted(image.working_directory);
  if (!image.ports.empty()) {
    c += ",\"ExposedPorts\":{";
    for (size_t i = 0; i < image.ports.size(); ++i)
      c += (i ? "," : "") + quoted(image.ports[i]) + ":{}";
    c += "}";
  }
  c += "},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[";
  for (size_t i = 0; i < image.layers.size(); ++i)
    c += (i ? "," : "") + quoted("sha256:" + sha256_hex(image.layers[i]));
  return c + "]}}";
}

}  // namespace

std::string sha256_hex(const std::string& bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr);
  std::string out;
  char hex[3];
  for (unsigned i = 0; i < size; ++i) {
    std::snprintf(hex, sizeof hex, "%02x", digest[i]);
    out += hex;
  }
  return out;
}

// POSIX ustar, section "ustar Interchange Format" of pax(1).
void Layer::header(const std::string& path, char type, int mode, size_t size,
                   const std::string& target) {
  char h[512] = {};
  std::snprintf(h, 100, "%s", path.c_str());
  std::snprintf(h + 100, 8, "%07o", mode);
  std::snprintf(h + 108, 8, "%07o", 0);
  std::snprintf(h + 116, 8, "%07o", 0);
  std::snprintf(h + 124, 12, "%011zo", size);
  std::snprintf(h + 136, 12, "%011o", 0);
  std::memset(h + 148, ' ', 8);
  h[156] = type;
  std::snprintf(h + 157, 100, "%s", target.c_str());
  std::memcpy(h + 257, "ustar\00000", 8);
  unsigned sum = 0;
  for (unsigned char c : h) sum += c;
  std::snprintf(h + 148, 8, "%06o", sum);
  tar_.append(h, sizeof h);
}

void Layer::add_directory(const std::string& path, int mode) {
  header(path + "/", '5', mode, 0, "");
}

void Layer::add_file(const std::string& path, const std::string& content, int mode) {
  header(path, '0', mode, content.size(), "");
  tar_ += content;
  tar_.resize((tar_.size() + 511) / 512 * 512);
}

void Layer::add_link(const std::string& path, const std::string& target) {
  header(path, '2', 0777, 0, target);
}

std::string Layer::bytes() const { return tar_ + std::string(1024, '\0'); }

std::string write_archive(const std::vector<Image>& images) {
  std::map<std::string, std::string> blobs;
  std::string index;
  for (const Image& image : images) {
    std::string config = config_of(image);
    std::string manifest =
        "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","
        "\"config\":" +
        descriptor("config.v1+json", config) + ",\"layers\":[";
    for (size_t i = 0; i < image.layers.size(); ++i) {
      manifest += (i ? "," : "") + descriptor("layer.v1.tar", image.layers[i]);
      blobs[sha256_hex(image.layers[i])] = image.layers[i];
    }
    manifest += "]}";
    blobs[sha256_hex(config)] = config;
    blobs[sha256_hex(manifest)] = manifest;
    std::string tag = image.name.substr(image.name.rfind(':') + 1);
    index += (index.empty() ? "" : ",") +
             descriptor("manifest.v1+json", manifest,
                        ",\"annotations\":{\"io.containerd.image.name\":" + quoted(image.name) +
                            ",\"org.opencontainers.image.ref.name\":" + quoted(tag) +
                            "},\"platform\":{\"architecture\":\"" + architecture() +
                            "\",\"os\":\"linux\"}");
  }
  Layer archive;
  archive.add_file("oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}", 0644);
  archive.add_file("index.json",
                   "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\","
                   "\"manifests\":[" +
                       index + "]}",
                   0644);
  archive.add_directory("blobs");
  archive.add_directory("blobs/sha256");
  for (const auto& [digest, bytes] : blobs) archive.add_file("blobs/sha256/" + digest, bytes, 0644);
  return archive.bytes();
}

}  // namespace keles::pack
