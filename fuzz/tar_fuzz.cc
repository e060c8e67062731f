// An archive is read to its end or refused, the same however it is cut into pieces, and what it
// says of sizes is kept.
#include <cstdint>
#include <cstdlib>

#include "kubectl/tar.h"
#include "seeds.h"

namespace {

struct Sum final : keles::kubectl::TarReader::Sink {
  std::string all;
  uint64_t left = 0;
  keles::Status begin(const keles::kubectl::TarEntry& e) override {
    all += e.type + e.name + "\n" + e.link + "\n";
    left = e.size;
    return keles::Status();
  }
  keles::Status content(std::string_view piece) override {
    if (piece.size() > left) std::abort();
    left -= piece.size();
    all += piece;
    return keles::Status();
  }
  keles::Status end() override {
    if (left != 0) std::abort();
    all += ".";
    return keles::Status();
  }
};

std::string read_in_steps(std::string_view data, size_t step) {
  Sum sum;
  keles::kubectl::TarReader reader(sum);
  for (size_t at = 0; at < data.size(); at += step) {
    keles::Status s = reader.feed(data.substr(at, step));
    if (!s.ok()) return sum.all + "error " + s.message();
  }
  return sum.all + (reader.ended() ? "ended" : reader.between_entries() ? "whole" : "cut");
}

std::string with_sums(std::string text) {
  for (size_t at = 0; at + 512 <= text.size(); at += 512) {
    std::string_view block = std::string_view(text).substr(at, 512);
    if (block.find_first_not_of('\0') == block.npos) continue;
    text.replace(at + 148, 8, 8, ' ');
    unsigned sum = 0;
    for (size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(text[at + i]);
    for (size_t i = 6; i-- > 0; sum >>= 3) text[at + 148 + i] = static_cast<char>('0' + (sum & 7));
    text[at + 154] = '\0';
  }
  return text;
}

const std::string& archive() {
  static const std::string made = [] {
    keles::kubectl::TarEntry file, named;
    file.name = "a/b";
    file.size = 5;
    named.name = std::string(300, 'n');
    named.type = '2';
    named.link = std::string(150, 'l');
    return keles::kubectl::tar_header(file) + "hello" + keles::kubectl::tar_padding(5) +
           keles::kubectl::tar_header(named) + keles::kubectl::tar_end();
  }();
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  // As it is, and with sums that agree, which chance would hardly find.
  for (const std::string& one : {std::string(text), with_sums(std::string(text))}) {
    std::string whole = read_in_steps(one, one.size() + 1);
    if (whole != read_in_steps(one, 512) || whole != read_in_steps(one, 7)) std::abort();
  }
  return 0;
}

std::vector<std::string_view> fuzz_seeds() { return {archive(), archive().substr(0, 1024)}; }
