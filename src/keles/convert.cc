// keles convert: an object from one encoding to another. It shows the codecs at work and knows
// nothing of a cluster.
#include "machinery/convert.h"

#include <cstdio>
#include <iostream>
#include <iterator>

#include "base/file.h"
#include "base/flags.h"
#include "keles/commands.h"
#include "keles/runtime.h"

namespace keles {

namespace {

constexpr char kUsage[] =
    "Usage: keles convert -f FILE|- -o json|yaml|protobuf\n"
    "\n"
    "Reads one object (JSON, YAML or protobuf, recognised by itself) and writes it in another "
    "form.\n";

Result<std::string> read_input(const std::string& file) {
  if (file != "-") return read_file(file);
  return std::string(std::istreambuf_iterator<char>(std::cin), {});
}

}  // namespace

int convert_main(const std::vector<std::string>& args) {
  std::string file, output = "yaml";
  Flags flags(kUsage);
  flags.add("filename", &file, "The file to read, or - for standard input.", 'f');
  flags.add("output", &output, "json, yaml or protobuf.", 'o');
  flags.require("filename");
  return run_command(&flags, args, [&](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    TRY_ASSIGN(input, read_input(file));
    TRY_ASSIGN(form, output_form(output));
    TRY_ASSIGN(made, convert(input, form));
    std::fwrite(made.data(), 1, made.size(), stdout);
    return std::fflush(stdout) == 0 ? Status() : Status::internal("cannot write");
  });
}

}  // namespace keles
