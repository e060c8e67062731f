// A Go template is read or refused, and filled with a document within its bounds; what it prints is
// the same each time.
#include <cstdint>
#include <cstdlib>

#include "kubectl/go_template.h"
#include "machinery/codec_json.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const keles::Document kDocument = *keles::parse_json(
      R"({"kind":"List","items":[{"metadata":{"name":"a","labels":{"x":"1"}},"n":1,"ok":true},
      {"metadata":{"name":"b"},"n":2.5,"ports":[80,443,{"p":[null,[],{}]}]}],"s":"t\"ext<"})");
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto read = keles::kubectl::GoTemplate::parse("output", text);
  if (!read.ok()) return 0;
  std::string first, second, strict;
  keles::Status one = read->execute(kDocument.root, &first);
  keles::Status other = read->execute(kDocument.root, &second);
  if (one.ok() != other.ok() || one.message() != other.message() || first != second) std::abort();
  read->set_allow_missing(false);
  keles::Status careful = read->execute(kDocument.root, &strict);
  // Strictness refuses; it never prints anything else.
  if (careful.ok() && (!one.ok() || strict != first)) std::abort();
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      "{{range $i, $e := .items}}{{if $i}}, {{else}}{{continue}}{{end}}{{$e.metadata.name}}{{end}}",
      "a {{- /* c */ -}} {{with .s}}{{. | printf \"%-5.2q|%[1]*d|%#v\" 3}}{{else with 1}}{{end}}",
      "{{define \"t\"}}{{range .}}{{template \"t\" .}}{{break}}{{end}}{{end}}{{template \"t\" "
      ".items}}",
      "{{block \"b\" (index .items 1)}}{{slice .ports 1}}{{len .ports}}{{end}}{{$x := 1}}{{$x = "
      "2}}",
      "{{eq .items 1}}{{lt 1.5 2e3}}{{html .s}}{{js .s}}{{urlquery .s}}{{exists . \"items\" 0}}",
      "{{printf \"%08.3f %+d %x %U %e %t %T %%\" 1.5 -1 `a` 'x' .items true nil}}{{0x1p4}}{{1_0}}"};
}
