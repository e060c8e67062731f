// Frames from any bytes after HTTP/2's preface: no crash, the connection ends, and what is called
// is called as well when the input comes byte by byte. There it may be more: who gives up a call or
// breaks the connection in the same piece does not find it begun.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/run_task.h"
#include "net/grpc_server.h"
#include "net/memory_stream_test.h"
#include "seeds.h"

namespace {
using namespace keles;
using namespace keles::net;

constexpr size_t kMostInput = 4096;
using Calls = std::vector<std::string>;

Task<Result<std::string>> answer(Calls* calls, std::string method, std::string message) {
  calls->push_back(method + ' ' + message);
  if (message == "no") co_return Status(Reason::kNotFound, "100% of nothing");
  co_return message;
}

Calls calls_of(std::string_view bytes, size_t piece) {
  SimLoop loop(1);
  Calls calls;
  MemoryStream::Said said;
  said.say("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  said.say(bytes);
  GrpcServerOptions options;
  options.max_message = 64;
  const GrpcServer::Handler handler = [&](Context, std::string method, std::string message) {
    return answer(&calls, std::move(method), std::move(message));
  };
  loop.schedule(loop.now() + 1s, [&] { said.end(); });
  Context ctx = Context::root(loop);
  run_task(loop, serve_grpc(ctx, std::make_unique<MemoryStream>(&said, piece), options, handler));
  std::sort(calls.begin(), calls.end());
  return calls;
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view in(reinterpret_cast<const char*>(data), std::min(size, kMostInput));
  const Calls whole = calls_of(in, SIZE_MAX), bytes = calls_of(in, 1);
  if (!std::includes(bytes.begin(), bytes.end(), whole.begin(), whole.end())) std::abort();
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  static constexpr char kCall[] =
      "\0\0\0\x04\0\0\0\0\0"
      "\0\0\x09\x01\x04\0\0\0\x01\x83\x86\x04\x02/m\x01\x01x"
      "\0\0\x07\0\x01\0\0\0\x01\0\0\0\0\x02no";
  static constexpr char kReset[] =
      "\0\0\0\x04\0\0\0\0\0"
      "\0\0\x09\x01\x05\0\0\0\x01\x83\x86\x04\x02/m\x01\x01x"
      "\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08"
      "\0\0\x09\x01\x04\0\0\0\x03\x83\x86\x04\x02/m\x01\x01x"
      "\0\0\x05\0\x01\0\0\0\x03\0\0\0\0\0";
  return {{kCall, sizeof kCall - 1}, {kReset, sizeof kReset - 1}};
}
