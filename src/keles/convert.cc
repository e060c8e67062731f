// keles convert: an object from one encoding to another. It shows the codecs at work and knows
// nothing of a cluster.
#include "machinery/convert.h"

#include <cstdio>
#include <iostream>
#include <iterator>

#include "base/file.h"
#include "base/flags.h"
#include "keles/commands.h"

namespace keles {

namespace {

constexpr char kUsage[] =
    "Usage: keles convert -f FILE|- -o json|yaml|protobuf\n"
    "\n"
    "Reads one object (JSON, YAML or protobuf, recognised by itself) and writes it in another "
    "form.\n";

int fail(const std::string& what) {
  std::cerr << "keles convert: " << what << '\n';
  return 1;
}

}  // namespace

int convert_main(const std::vector<std::string>& args) {
  std::string file, output = "yaml";
  Flags flags(kUsage);
  flags.add("filename", &file, "The file to read, or - for standard input.", 'f');
  flags.add("output", &output, "json, yaml or protobuf.", 'o');
  flags.require("filename");
  Result<std::vector<std::string>> rest = flags.parse(args);
  if (!rest.ok()) return fail(rest.status().message());
  if (flags.help_wanted()) {
    std::cout << flags.help_text();
    return 0;
  }
  if (!rest->empty()) return fail("unknown argument " + rest->front());
  std::string input;
  if (file == "-") {
    input.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    auto read = read_file(file);
    if (!read.ok()) return fail(read.status().message());
    input = std::move(*read);
  }
  auto form = output_form(output);
  if (!form.ok()) return fail(form.status().message());
  auto made = convert(input, *form);
  if (!made.ok()) return fail(made.status().message());
  std::fwrite(made->data(), 1, made->size(), stdout);
  return std::fflush(stdout) == 0 ? 0 : fail("cannot write");
}

}  // namespace keles
