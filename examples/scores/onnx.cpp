// Scores of events by ONNX Runtime, each by the model of its own fold.
//
//     g++ -std=c++17 -O2 onnx.cpp -I<folder of onnxruntime_cxx_api.h> -L<folder of libonnxruntime> -lonnxruntime
//     ./a.out network.onnx < events.txt
//
// A line of the input is an event: the three words of its id (run, luminosity block, event), then the numbers of all
// inputs in the order that the program prints first. A line of the output: the fold, then the scores of all classes.
#include <array>
#include <cstdint>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <onnxruntime_cxx_api.h>

// The file that `gridloom export --to onnx` wrote. One event at a time; one object per thread.
class Network {
public:
   explicit Network(const std::string &path) : session_(environment_, path.c_str(), options())
   {
      Ort::AllocatorWithDefaultOptions allocator;
      for (std::size_t i = 0; i < session_.GetInputCount(); ++i) {
         const std::string name = session_.GetInputNameAllocated(i, allocator).get();
         auto shape = session_.GetInputTypeInfo(i).GetTensorTypeAndShapeInfo().GetShape();
         shape[0] = 1; // any number of events; here one
         shapes_[name] = shape;
         if (name != "event_id")
            inputs_.push_back(name);
      }
   }

   const std::vector<std::string> &inputs() const { return inputs_; }

   std::size_t size(const std::string &input) const
   {
      std::size_t product = 1;
      for (const auto length : shapes_.at(input))
         product *= static_cast<std::size_t>(length);
      return product;
   }

   struct Result {
      std::int32_t fold;
      std::vector<float> scores;
   };

   Result operator()(std::map<std::string, std::vector<float>> &values, std::array<std::uint64_t, 3> id)
   {
      std::vector<const char *> names;
      std::vector<Ort::Value> tensors;
      for (const auto &name : inputs_) {
         auto &data = values.at(name);
         const auto &shape = shapes_.at(name);
         names.push_back(name.c_str());
         tensors.push_back(
            Ort::Value::CreateTensor<float>(memory_, data.data(), data.size(), shape.data(), shape.size()));
      }
      const auto &shape = shapes_.at("event_id");
      names.push_back("event_id");
      tensors.push_back(
         Ort::Value::CreateTensor<std::uint64_t>(memory_, id.data(), id.size(), shape.data(), shape.size()));
      const char *wanted[] = {"fold", "scores"};
      auto found = session_.Run(Ort::RunOptions{nullptr}, names.data(), tensors.data(), tensors.size(), wanted, 2);
      const auto count = found[1].GetTensorTypeAndShapeInfo().GetElementCount();
      const auto *scores = found[1].GetTensorData<float>();
      return {*found[0].GetTensorData<std::int32_t>(), std::vector<float>(scores, scores + count)};
   }

private:
   static Ort::SessionOptions options()
   {
      Ort::SessionOptions options;
      options.SetIntraOpNumThreads(1);
      return options;
   }

   Ort::Env environment_{ORT_LOGGING_LEVEL_WARNING, "gridloom"};
   Ort::Session session_;
   Ort::MemoryInfo memory_ = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
   std::vector<std::string> inputs_;
   std::map<std::string, std::vector<std::int64_t>> shapes_;
};

int main(int argc, char **argv)
{
   if (argc != 2) {
      std::cerr << "usage: " << argv[0] << " network.onnx < events.txt\n";
      return 2;
   }
   Network network(argv[1]);
   std::cout << "#";
   for (const auto &name : network.inputs())
      std::cout << ' ' << name << ' ' << network.size(name);
   std::cout << '\n';
   std::cout.precision(9);
   for (std::string line; std::getline(std::cin, line);) {
      std::istringstream words(line);
      std::array<std::uint64_t, 3> id{};
      words >> id[0] >> id[1] >> id[2];
      std::map<std::string, std::vector<float>> values;
      for (const auto &name : network.inputs()) {
         auto &data = values[name];
         for (std::size_t i = 0; i < network.size(name); ++i) {
            std::string word; // streams do not read `nan`
            words >> word;
            data.push_back(std::stof(word));
         }
      }
      const auto result = network(values, id);
      std::cout << result.fold;
      for (const auto score : result.scores)
         std::cout << ' ' << score;
      std::cout << '\n';
   }
}
