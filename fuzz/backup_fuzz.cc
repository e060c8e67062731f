// A backup's file as it may come back from a disk or a network; and entries behind a checksum that
// holds, which only somebody who means it writes.
#include <cstddef>
#include <cstdint>

#include "machinery/codec_protobuf.h"
#include "net/pki.h"
#include "seeds.h"
#include "store/backup.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace keles;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  BackupReader as_it_is(true);
  if (as_it_is.take(bytes).ok()) (void)as_it_is.finish();
  std::string file = "keles-backup-1\n.";
  append_varint(file, size);
  file += net::sha256("." + std::string(bytes));
  file += bytes;
  BackupReader sealed(true);
  if (sealed.take(file).ok() && sealed.finish().ok()) (void)std::move(sealed).contents();
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  using namespace std::string_view_literals;
  return {"keles-backup-1\n+\x02"sv, "\x09\x04name"sv,
          "\x09\x04namer\x03key\x05\x01\x07\x03\x02vd\x03key\x02\x07x"sv, ""sv};
}
