// pack_image OUTPUT.tar [--image NAME | --layer | --add DEST=SOURCE | --dir PATH:MODE |
//   --program DEST=SOURCE (with the shared libraries that it needs) |
//   --text DEST=TEXT | --busybox BINARY | --env K=V | --entrypoint ARG | --cmd ARG | --user UID |
//   --port P/tcp]...: the build's own way to make container images.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "pack/oci_archive.h"

namespace {

using keles::pack::Image;
using keles::pack::Layer;

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "pack_image: %s\n", why.c_str());
  std::exit(1);
}

std::string read_all(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) die("cannot read " + path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The applets that the binary says it has, sorted.
std::set<std::string> applets(const std::string& binary) {
  std::set<std::string> out;
  FILE* p = popen((binary + " --list").c_str(), "re");
  if (!p) die("cannot run " + binary);
  char line[256];
  while (std::fgets(line, sizeof line, p)) {
    std::string s(line);
    while (!s.empty() && s.back() == '\n') s.pop_back();
    if (!s.empty() && s != "busybox") out.insert(s);
  }
  if (pclose(p) != 0 || out.empty()) die(binary + " --list failed");
  return out;
}

std::pair<std::string, std::string> split(const std::string& s, char at) {
  size_t i = s.find(at);
  if (i == std::string::npos) die("expected '" + std::string(1, at) + "' in " + s);
  return {s.substr(0, i), s.substr(i + 1)};
}

// The shared libraries that a program is loaded with, its loader among them, by ldd.
std::set<std::string> libraries(const std::string& program) {
  std::set<std::string> out;
  FILE* p = popen(("ldd " + program).c_str(), "re");
  if (!p) die("cannot run ldd " + program);
  char line[1024];
  while (std::fgets(line, sizeof line, p)) {
    const std::string s(line);
    if (s.find("not found") != std::string::npos) die(program + " lacks" + s);
    const size_t from = s.find('/'), to = s.find(" (0x");
    if (from != std::string::npos && to != std::string::npos) out.insert(s.substr(from, to - from));
  }
  if (pclose(p) != 0 || out.empty()) die("ldd " + program + " failed");
  return out;
}

// Adds busybox with links for all applets, and the few files that programs expect.
void add_busybox(Layer& layer, const std::string& binary) {
  for (const char* d : {"bin", "etc", "root", "usr", "var"}) layer.add_directory(d);
  layer.add_directory("tmp", 01777);
  layer.add_file("bin/busybox", read_all(binary), 0755);
  for (const std::string& a : applets(binary)) layer.add_link("bin/" + a, "busybox");
  layer.add_link("usr/bin", "../bin");
  layer.add_file("etc/passwd",
                 "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", 0644);
  layer.add_file("etc/group", "root:x:0:\nnogroup:x:65534:\n", 0644);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) die("no output file");
  std::vector<Image> images;
  Layer layer;
  bool filled = false;
  std::set<std::string> there;  // the libraries in this image
  auto end_layer = [&] {
    if (filled) images.back().layers.push_back(layer.bytes());
    layer = Layer();
    filled = false;
  };
  for (int i = 2; i < argc; ++i) {
    std::string option = argv[i];
    std::string value = option == "--layer" ? "" : i + 1 < argc ? argv[++i] : "";
    if (option == "--image") {
      end_layer();
      there.clear();
      images.push_back({.name = value, .env = {"PATH=/usr/local/bin:/usr/bin:/bin:/"}});
      continue;
    }
    if (images.empty()) die("--image comes first");
    Image& image = images.back();
    filled = filled || option == "--add" || option == "--dir" || option == "--text" ||
             option == "--busybox" || option == "--program";
    if (option == "--layer") {
      end_layer();
    } else if (option == "--add") {
      auto [to, from] = split(value, '=');
      layer.add_file(to, read_all(from), 0755);
    } else if (option == "--program") {
      auto [to, from] = split(value, '=');
      layer.add_file(to, read_all(from), 0755);
      for (const std::string& l : libraries(from))
        if (there.insert(l).second) layer.add_file(l.substr(1), read_all(l), 0755);
    } else if (option == "--text") {
      auto [to, text] = split(value, '=');
      layer.add_file(to, text, 0644);
    } else if (option == "--dir") {
      auto [path, mode] = split(value, ':');
      layer.add_directory(path, static_cast<int>(std::strtol(mode.c_str(), nullptr, 8)));
    } else if (option == "--busybox") {
      add_busybox(layer, value);
    } else if (option == "--env") {
      image.env.push_back(value);
    } else if (option == "--entrypoint") {
      image.entrypoint.push_back(value);
    } else if (option == "--cmd") {
      image.command.push_back(value);
    } else if (option == "--user") {
      image.user = value;
    } else if (option == "--port") {
      image.ports.push_back(value);
    } else {
      die("unknown option " + option);
    }
  }
  if (images.empty()) die("no image");
  end_layer();
  std::ofstream out(argv[1], std::ios::binary | std::ios::trunc);
  out << keles::pack::write_archive(images);
  if (!out.flush()) die(std::string("cannot write ") + argv[1]);
  return 0;
}
