#include "machinery/apply/known_texts.h"

#include <array>
#include <functional>
#include <string>

namespace keles::apply {
namespace {

constexpr size_t kPlaces = 512;
constexpr size_t kLongest = 16 * 1024;  // a longer text is not remembered

struct Known {
  explicit Known(std::string_view said) : text(said) {}
  std::string text;
  Arena arena;
  ParsedSet set;
  size_t bytes() const { return sizeof *this + text.capacity() + arena.bytes_reserved(); }
};

// A text has one place, by its hash; who comes later has it.
struct Memory {
  std::array<std::shared_ptr<const Known>, kPlaces> places;
  size_t bytes = 0;

  void put(size_t place, std::shared_ptr<const Known> known) {
    if (bytes + known->bytes() > kMostRemembered) {
      places.fill(nullptr);
      bytes = 0;
    }
    if (places[place]) bytes -= places[place]->bytes();
    bytes += known->bytes();
    places[place] = std::move(known);
  }
};
Memory& memory() {
  static thread_local Memory mine;
  return mine;
}

std::shared_ptr<const ParsedSet> shown(std::shared_ptr<const Known> known) {
  const ParsedSet* set = &known->set;
  return {std::move(known), set};
}

}  // namespace

std::shared_ptr<const ParsedSet> set_of_text(std::string_view text) {
  Memory& m = memory();
  const size_t place = std::hash<std::string_view>()(text) % kPlaces;
  if (m.places[place] && m.places[place]->text == text) return shown(m.places[place]);
  auto known = std::make_shared<Known>(text);
  auto set = parse_fields_v1(known->arena, known->text);
  if (!set) return nullptr;
  known->set = *set;
  if (text.size() <= kLongest) m.put(place, known);
  return shown(std::move(known));
}

size_t remembered_bytes() { return memory().bytes; }

}  // namespace keles::apply
