#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cmd/client_session.h"
#include "cmd/commands.h"
#include "cmd/text.h"

namespace rutile::cmd {
namespace {

using client::Await;
using client::RawClient;

// What the commands that read and write keys have in common.
struct KeyFlags {
  ClientFlags client = {};
  std::string format = "text";
  std::string key = {};
  std::string value = {};
  std::string end = {};
  std::uint64_t ttl_seconds = 0;
  client::ScanOptions scan = {};
  std::string file = "-";
  std::optional<std::string> expected = {};
};

Status DoPut(const KeyFlags& flags, TextFormat format, ClientSession& session) {
  RUTILE_ASSIGN_OR_RETURN(const std::string key, ParseBytes(format, flags.key));
  RUTILE_ASSIGN_OR_RETURN(const std::string value, ParseBytes(format, flags.value));
  return Await(session.client(), &RawClient::Put, key, value, flags.ttl_seconds);
}

Status DoGet(const KeyFlags& flags, TextFormat format, ClientSession& session) {
  RUTILE_ASSIGN_OR_RETURN(const std::string key, ParseBytes(format, flags.key));
  RUTILE_ASSIGN_OR_RETURN(const std::optional<std::string> value,
                          Await(session.client(), &RawClient::Get, key));
  if (!value) return Status(Code::kNotFound, "key not found: " + flags.key);
  std::printf("%s\n", FormatBytes(format, *value).c_str());
  return {};
}

Status DoDelete(const KeyFlags& flags, TextFormat format, ClientSession& session) {
  RUTILE_ASSIGN_OR_RETURN(const std::string key, ParseBytes(format, flags.key));
  return Await(session.client(), &RawClient::Delete, key);
}

Status DoDeleteRange(const KeyFlags& flags, TextFormat format, ClientSession& session) {
  RUTILE_ASSIGN_OR_RETURN(const std::string start, ParseBytes(format, flags.key));
  RUTILE_ASSIGN_OR_RETURN(const std::string end, ParseBytes(format, flags.end));
  return Await(session.client(), &RawClient::DeleteRange, start, end);
}

Status DoScan(const KeyFlags& flags, TextFormat format, ClientSession& session) {
  RUTILE_ASSIGN_OR_RETURN(const std::string start, ParseBytes(format, flags.key));
  RUTILE_ASSIGN_OR_RETURN(const std::string end, ParseBytes(format, flags.end));
  RUTILE_ASSIGN_OR_RETURN(const std::vector<RawClient::Pair> pairs,
                          Await(session.client(), &RawClient::Scan, start, end, flags.scan));
  for (const auto& [key, value] : pairs) {
    if (flags.scan.key_only) {
      std::printf("%s\n", FormatBytes(format, key).c_str());
    } else {
      std::printf("%s\t%s\n", FormatBytes(format, key).c_str(), FormatBytes(format, value).c_str());
    }
  }
  return {};
}

// One pair a line, key and value parted by the first tab or space.
Result<std::vector<RawClient::Pair>> ReadPairs(const std::string& file, TextFormat format) {
  std::ifstream opened;
  if (file != "-") opened.open(file);
  std::istream& in = file == "-" ? std::cin : opened;
  std::vector<RawClient::Pair> pairs;
  std::size_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.empty()) continue;
    const std::size_t gap = line.find_first_of("\t ");
    if (gap == std::string::npos) {
      return Status(Code::kInvalidArgument, file + ":" + std::to_string(number) +
                                                ": expected a key, a tab or space, and a value");
    }
    RUTILE_ASSIGN_OR_RETURN(std::string key, ParseBytes(format, line.substr(0, gap)));
    RUTILE_ASSIGN_OR_RETURN(std::string value, ParseBytes(format, line.substr(gap + 1)));
    pairs.emplace_back(std::move(key), std::move(value));
  }
  // Not the end but a failure: it could not be opened, is a directory, or the disk failed.
  if (!in.eof()) return Status(Code::kInvalidArgument, file + ": the file cannot be read");
  return pairs;
}

Status DoBatchPut(const KeyFlags& flags, TextFormat format, ClientSession& session) {
  RUTILE_ASSIGN_OR_RETURN(const std::vector<RawClient::Pair> pairs, ReadPairs(flags.file, format));
  RUTILE_RETURN_IF_ERROR(Await(session.client(), &RawClient::BatchPut, pairs));
  std::printf("%zu pairs written\n", pairs.size());
  return {};
}

Status DoCas(const KeyFlags& flags, TextFormat format, ClientSession& session) {
  RUTILE_ASSIGN_OR_RETURN(const std::string key, ParseBytes(format, flags.key));
  RUTILE_ASSIGN_OR_RETURN(const std::string value, ParseBytes(format, flags.value));
  std::optional<std::string> expected;
  if (flags.expected) {
    RUTILE_ASSIGN_OR_RETURN(expected, ParseBytes(format, *flags.expected));
  }
  RUTILE_ASSIGN_OR_RETURN(
      const RawClient::Swapped swapped,
      Await(session.client(), &RawClient::CompareAndSwap, key, expected, value));
  if (swapped.swapped) {
    std::printf("swapped\n");
    return {};
  }
  return Status(Code::kFailedPrecondition,
                swapped.previous
                    ? "not swapped: the value is " + FormatBytes(format, *swapped.previous)
                    : std::string("not swapped: the key is absent"));
}

using Action = Status (*)(const KeyFlags&, TextFormat, ClientSession&);

CLI::App* Add(CLI::App& app, const char* name, const char* description,
              const std::shared_ptr<KeyFlags>& flags, Action action, int* exit_code) {
  CLI::App* command = app.add_subcommand(name, description);
  flags->client.AddTo(*command);
  flags->client.AddKeyspaceTo(*command);
  command->add_option("--format", flags->format, "Of keys and values: text, hex or escaped")
      ->capture_default_str();
  command->callback([flags, action, exit_code] {
    const Result<TextFormat> format = ParseTextFormat(flags->format);
    if (!format.ok()) {
      *exit_code = Fail(format.status());
      return;
    }
    const auto session = ClientSession::Open(flags->client);
    Status status = session.ok() ? session.value()->UseKeyspace() : session.status();
    if (status.ok()) status = action(*flags, format.value(), *session.value());
    if (!status.ok()) *exit_code = Fail(status);
  });
  return command;
}

}  // namespace

void AddKeyCommands(CLI::App& app, int* exit_code) {
  const auto make = [] { return std::make_shared<KeyFlags>(); };

  auto flags = make();
  CLI::App* command = Add(app, "put", "Write a key", flags, DoPut, exit_code);
  command->add_option("key", flags->key, "Key")->required();
  command->add_option("value", flags->value, "Value")->required();
  command->add_option("--ttl", flags->ttl_seconds, "Seconds until the key expires; 0: never")
      ->check(CLI::NonNegativeNumber);

  flags = make();
  command = Add(app, "get", "Read a key", flags, DoGet, exit_code);
  command->add_option("key", flags->key, "Key")->required();

  flags = make();
  command = Add(app, "delete", "Delete a key", flags, DoDelete, exit_code);
  command->add_option("key", flags->key, "Key")->required();

  flags = make();
  command = Add(app, "delete-range", "Delete all keys from start up to end", flags, DoDeleteRange,
                exit_code);
  command->add_option("start", flags->key, "First key to delete")->required();
  command->add_option("end", flags->end, "First key to keep")->required();

  flags = make();
  command = Add(app, "scan", "List keys in order", flags, DoScan, exit_code);
  command->add_option("start", flags->key, "First key; reverse: the first key not listed");
  command->add_option("end", flags->end, "First key not listed; reverse: the last key");
  command->add_option("--limit", flags->scan.limit, "Most pairs to list")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_flag("--reverse", flags->scan.reverse, "From the end to the start");
  command->add_flag("--key-only", flags->scan.key_only, "Without values");

  flags = make();
  command = Add(app, "batch-put", "Write many pairs: one a line, key, tab or space, value", flags,
                DoBatchPut, exit_code);
  command->add_option("file", flags->file, "File with the pairs; -: standard input")
      ->capture_default_str();

  flags = make();
  command = Add(app, "cas", "Write a key if it has an expected value", flags, DoCas, exit_code);
  command->add_option("key", flags->key, "Key")->required();
  command->add_option("value", flags->value, "New value")->required();
  command->add_option("--expect", flags->expected,
                      "Value it must have; without: it must be absent");
}

}  // namespace rutile::cmd
