# %% [markdown]
# # 0 · Welcome
#
# Below is a network that has never seen a digit, and a slider. Run the two cells (<kbd>Shift</kbd>+<kbd>Enter</kbd>),
# press **play**, and turn the **learning rate** while the network learns. Can you get 96 % of the validation images
# right?

# %%
import torch

import lrlab
from lrlab import Run, data, evidence, figures, instruments, rules, source

assert lrlab.__version__.startswith("0.1"), f"written for lrlab 0.1, this is {lrlab.__version__}: run make install"
torch.set_num_threads(1)  # networks this small are faster on one: two threads would wait for each other
run = Run("mlp", "digits", rule=rules.SGD(), lr=0.01, batch_size=64, seed=0)

# %%
tuner = instruments.LiveTuner(run, speed=60)
tuner

# %% [markdown]
# Nothing here is a film. The curve is drawn while a PyTorch network of 9,610 weights reads handwritten digits; the
# lowest panel shows the rate that each step **really used**. Break it, if you like: **rewind** brings every weight
# back.
#
# No mouse? <kbd>Tab</kbd> goes from control to control, the arrow keys turn. In the picture, ← and → read the values.
#
# | control | does |
# |---|---|
# | play, step, stop | train on, make one step, let go of everything |
# | the scrubber under the picture, rewind | choose a moment, go back to it; what you leave stays as a grey curve |
# | branch | a second run from here, beside the first |
# | reset | from the start, with another seed |
# | rule, run, speed | another update rule, another curve to control, slower or faster |
# | save moves, replay, as schedule | keep what your hand did, do it again, use it on other runs |

# %% tags=["nbval-ignore-output"]
if run.step == 0:  # nobody has played: a script turns the knob
    tuner.speed = None
    for lr in (0.01, 0.1, 0.5):
        tuner.turn("lr", lr)
        tuner.play(steps=150)
        tuner.wait()
tuner.pause()
figures.show(tuner.figure(), alt=tuner.alt)

# %% [markdown]
# Every move was written down, with the step at which it was made:

# %% tags=["nbval-ignore-output"]
run.moves[:5]

# %% [markdown]
# ## How to read a lecture
# *About 5 minutes; the cells run in 5 s.*
#
# Each section goes the same way, and the order matters.
#
# **Predict** first. A wrong guess that you have written down teaches more than a right answer that you have read.
#
# <details>
# <summary><b>Predict.</b> You train this network twice, with the same seed. By how much do the two final losses
# differ: 10 %, 1 %, a rounding error, or not at all? (Choose, then open.)</summary>
#
# Not at all: not in the last bit, as long as it is the same processor with the same number of threads. The first
# weights, the order of the images and every other random number are functions of the seed and of the step, and of
# nothing else.
# </details>
#
# Then **run**, then **check**. A claim in this course stands beside a cell that measures it. If the claim does not
# hold, the cell fails: you need not believe us.

# %%
def losses(seed):
    run = Run("mlp", "digits", lr=0.1, seed=seed, device="cpu")
    return run.train(200, progress=False).history["loss"]


same = (losses(seed=7) == losses(seed=7)).all()
evidence.verdict("one seed, twice: every loss of 200 steps is the same, to the last bit", same)
evidence.verdict("another seed: another path", (losses(seed=7) != losses(seed=8)).any())

# %% [markdown]
# So one run with one seed is one throw of a die. That is why the lectures say "in at least 14 of 16 seeds" and show
# the spread. Here is such a claim, measured as all of them are: two **arms**, the same seeds, the same number of steps.

# %%
arms = {
    "lr 0.01": lambda seed: Run("mlp", "digits", lr=0.01, seed=seed),
    "lr 0.3": lambda seed: Run("mlp", "digits", lr=0.3, seed=seed),
}
claim = evidence.compare(arms, steps=200, metric="val_accuracy", seeds=8, progress=False)
claim.better("lr 0.3", than="lr 0.01", in_at_least=7)

# %% tags=["nbval-ignore-output"]
claim.show("A rate 30 times as high reads more digits right after the same 200 steps")

# %% [markdown]
# The formulas you meet are not typed a second time. `source` shows the very lines that ran above; the tests compare
# them with PyTorch's own:

# %%
source(rules.SGD, docstring=False)

# %% [markdown]
# ## The data come with the course
# *About 4 minutes; the cells run in 10 s the first time.*
#
# No lecture needs the internet. `digits` are 1,797 handwritten digits of 8 × 8 pixels, from scikit-learn. `glyphs`
# are printed letters and digits, drawn on your machine from the fonts that come with matplotlib: shifted, turned,
# sheared, and always the same for a seed.

# %% tags=["nbval-ignore-output"]
sets = {"digits": data.load("digits", device="cpu"), "glyphs": data.load("glyphs", device="cpu")}
fig, axes = figures.figure("Written by hand, and drawn from fonts", 2, 10, size=(7.2, 2.2))
for row, dataset in zip(axes, sets.values(), strict=True):
    for ax, x, y in zip(row, dataset.pixels(dataset.train.x), dataset.train.y, strict=False):
        ax.imshow(x[0], cmap="gray_r", vmin=0, vmax=1)
        ax.set_title(dataset.classes[y], fontsize=9)
        ax.axis("off")
figures.show(fig, alt="Ten handwritten digits above ten printed characters, each with its class.")

# %%
for dataset in sets.values():
    print(dataset)

# %% [markdown]
# Each set is split in three. The network learns from **train**; you choose by **validation**; **test** is looked at
# once, at the very end. Your own data go where the names stand: a pair `(x, y)` of tensors, or a `DataLoader`; your
# own `nn.Module`, too. With a network, `data.load("fashion-mnist", download=True)` fetches more.
#
# ## What this machine has
# *About 2 minutes.*
#
# `device="auto"` uses a GPU when there is one. It makes things bigger, never different in kind: everything in this
# course runs on two processor cores, each lecture in under a minute of computing.

# %% tags=["nbval-ignore-output"]
lrlab.doctor()

# %% [markdown]
# ## Words
# Each term is introduced once, in bold, where it is first needed. Here they are together, in the three languages of
# our readers. **No native speaker has checked the Vietnamese and the Indonesian column yet.** They say what textbooks
# use, as far as we know it; where you are in doubt, the English word counts. Do you speak one of them? Then mend it:
# the table stands in `lectures/source/00_welcome.py`.
#
# | English | Tiếng Việt | Bahasa Indonesia |
# |---|---|---|
# | ablation | thí nghiệm loại bỏ (từng thành phần) | studi ablasi |
# | accuracy | độ chính xác | akurasi |
# | adaptive (rule) | (quy tắc) thích nghi | (aturan) adaptif |
# | anytime (result) | (kết quả) dùng được ở mọi thời điểm | (hasil) kapan saja |
# | baseline | mô hình cơ sở (để so sánh) | model acuan (baseline) |
# | batch, mini-batch | lô, lô nhỏ | batch, mini-batch |
# | batch normalisation | chuẩn hoá theo lô | normalisasi batch |
# | batch size | kích thước lô | ukuran batch |
# | Bayesian optimisation | tối ưu hoá Bayes | optimasi Bayesian |
# | bias correction | hiệu chỉnh độ chệch | koreksi bias |
# | bias (of a layer) | hệ số tự do | bias |
# | Brier score | điểm Brier | skor Brier |
# | calibration | hiệu chuẩn | kalibrasi |
# | class | lớp | kelas |
# | cliff (of the loss) | vách dốc (của hàm mất mát) | tebing (fungsi kerugian) |
# | co-adaptation | đồng thích nghi | ko-adaptasi |
# | coarse-to-fine search | tìm kiếm từ thô đến mịn | pencarian dari kasar ke halus |
# | condition number | số điều kiện | bilangan kondisi |
# | confidence interval | khoảng tin cậy | selang kepercayaan |
# | convergence | sự hội tụ | konvergensi |
# | cross entropy | entropy chéo | entropi silang |
# | curvature | độ cong | kelengkungan |
# | cyclical learning rate | tốc độ học theo chu kỳ | laju pembelajaran siklis |
# | data augmentation | tăng cường dữ liệu | augmentasi data |
# | decay (of the learning rate) | giảm dần (tốc độ học) | peluruhan (laju pembelajaran) |
# | decoupled decay | suy giảm (trọng số) tách rời | peluruhan (bobot) terpisah |
# | disagreement (of networks) | sự bất đồng (giữa các mạng) | ketidaksepakatan (antar jaringan) |
# | discriminative learning rates | tốc độ học phân biệt theo tầng | laju pembelajaran diskriminatif |
# | distillation | chưng cất (tri thức) | distilasi (pengetahuan) |
# | to diverge | phân kỳ | divergen |
# | diversity | tính đa dạng | keragaman |
# | dropout | dropout (tắt ngẫu nhiên) | dropout |
# | early stopping | dừng sớm | penghentian dini |
# | edge of stability | biên ổn định | tepi kestabilan |
# | effective rate | tốc độ học hiệu dụng | laju pembelajaran efektif |
# | eigenvalue | giá trị riêng | nilai eigen |
# | ensemble | mô hình kết hợp | ansambel |
# | epoch | epoch (lượt duyệt dữ liệu) | epoch |
# | expected calibration error (ECE) | sai số hiệu chuẩn kỳ vọng | galat kalibrasi harapan |
# | exponential moving average (EMA) | trung bình trượt hàm mũ | rata-rata bergerak eksponensial |
# | feature, feature extraction | đặc trưng, trích xuất đặc trưng | fitur, ekstraksi fitur |
# | filter (of a convolution) | bộ lọc (tích chập) | filter (konvolusi) |
# | fine-tuning | tinh chỉnh | penyetelan halus (fine-tuning) |
# | friction | ma sát | gesekan |
# | frozen (layer) | (tầng) đóng băng | (lapisan) beku |
# | gradient | gradient | gradien |
# | gradient clipping | cắt gradient | pemotongan gradien |
# | gradient descent | hạ gradient | penurunan gradien |
# | gradual unfreezing | mở băng dần dần | pencairan bertahap |
# | grid search | tìm kiếm theo lưới | pencarian kisi |
# | head (of a network) | tầng đầu ra, đầu (của mạng) | kepala (jaringan) |
# | Hessian (matrix) | ma trận Hesse | matriks Hesse |
# | hypergradient | siêu gradient | hipergradien |
# | hyperparameter | siêu tham số | hiperparameter |
# | label-preserving | giữ nguyên nhãn | mempertahankan label |
# | layer | tầng | lapisan |
# | layer group | nhóm tầng | kelompok lapisan |
# | learning rate | tốc độ học | laju pembelajaran |
# | learning-rate schedule | lịch tốc độ học | jadwal laju pembelajaran |
# | linear probe | bộ dò tuyến tính | probe linear |
# | linear scaling rule | quy tắc tỉ lệ tuyến tính | aturan penskalaan linear |
# | local minimum | cực tiểu địa phương | minimum lokal |
# | logarithmic scale | thang logarit | skala logaritmik |
# | logit | logit | logit |
# | loss function | hàm mất mát | fungsi kerugian |
# | mask | mặt nạ | topeng (mask) |
# | member (of an ensemble) | mô hình thành viên | anggota (ansambel) |
# | momentum | động lượng | momentum |
# | Monte-Carlo dropout | dropout Monte Carlo | dropout Monte Carlo |
# | negative transfer | chuyển giao tiêu cực | transfer negatif |
# | neural architecture search (NAS) | tìm kiếm kiến trúc mạng nơ-ron | pencarian arsitektur jaringan saraf |
# | (neural) network | mạng nơ-ron | jaringan saraf (tiruan) |
# | noise | nhiễu | derau |
# | noise floor | sàn nhiễu | lantai derau |
# | optimizer, update rule | bộ tối ưu, quy tắc cập nhật | pengoptimal, aturan pembaruan |
# | overfitting | quá khớp | overfitting |
# | parameter, weight | tham số, trọng số | parameter, bobot |
# | patience | độ kiên nhẫn | kesabaran |
# | penalty | số hạng phạt | penalti |
# | plateau | vùng bằng phẳng | dataran (plato) |
# | power iteration | phép lặp lũy thừa | iterasi pangkat |
# | precomputed features | đặc trưng tính sẵn | fitur yang dihitung di muka |
# | pre-trained (network) | (mạng) đã huấn luyện trước | (jaringan) pralatih |
# | random search | tìm kiếm ngẫu nhiên | pencarian acak |
# | random seed | hạt giống ngẫu nhiên | benih acak |
# | range test | phép thử dải tốc độ học | uji rentang laju pembelajaran |
# | redundant representation | biểu diễn dư thừa | representasi redundan |
# | regret | độ hối tiếc | penyesalan (regret) |
# | regularisation | chính quy hoá | regularisasi |
# | reliability diagram | biểu đồ độ tin cậy | diagram keandalan |
# | saddle point | điểm yên ngựa | titik pelana |
# | scale free | không phụ thuộc tỉ lệ | bebas skala |
# | snapshot ensemble | mô hình kết hợp từ các bản chụp | ansambel snapshot |
# | soft label | nhãn mềm | label lunak |
# | source task, target task | tác vụ nguồn, tác vụ đích | tugas sumber, tugas target |
# | spectral radius | bán kính phổ | radius spektral |
# | spread (over seeds) | độ phân tán | sebaran |
# | step | bước | langkah |
# | stochastic gradient descent (SGD) | hạ gradient ngẫu nhiên | penurunan gradien stokastik |
# | sweep | quét (siêu tham số) | sapuan (hiperparameter) |
# | temperature | nhiệt độ | temperatur |
# | test-time augmentation | tăng cường lúc kiểm tra | augmentasi saat uji |
# | training, validation, test set | tập huấn luyện, kiểm định, kiểm tra | data latih, validasi, uji |
# | transfer learning | học chuyển giao | pembelajaran transfer |
# | trial | lần thử | percobaan |
# | variance | phương sai | varians |
# | warm restart | khởi động lại ấm | mulai ulang hangat |
# | warm-up | khởi động | pemanasan |
# | weight averaging (SWA) | lấy trung bình trọng số | perataan bobot |
# | weight decay | suy giảm trọng số | peluruhan bobot |
# | weight scaling | co giãn trọng số | penskalaan bobot |
# | winner's curse | lời nguyền của người chiến thắng | kutukan pemenang |
#
# ## Five lines to remember
# 1. The learning rate is turned while the network trains, and the lowest panel shows what each step used.
# 2. Predict, then run, then check.
# 3. One seed, one path; a claim needs many seeds and its spread.
# 4. Rewind brings back everything: weights, rule, data order, randomness.
# 5. If something is amiss, `lrlab.doctor()` says what, and what to do.
#
# ## Three questions
# **1.** You rewind to step 100 and press play without touching a slider. What do you see?
# - (a) another curve, because the images are shuffled anew
# - (b) the very curve you had, until the first move you made after step 100
# - (c) the very curve, with all its moves
#
# <details>
# <summary>Answer</summary>
#
# **(b).** The order of the images is a function of the seed and the epoch, so it comes again: (a) is wrong. But the
# moves you made after step 100 belong to the future that you left; it stays as a grey curve. To make them again, save
# them and replay: then it is (c).
# </details>
#
# **2.** Two rates, one seed each: A ends at 96.0 %, B at 96.3 %. Which is better?
# - (a) B
# - (b) A
# - (c) you cannot know
#
# <details>
# <summary>Answer</summary>
#
# **(c).** One of 300 validation images is a third of a per cent: the difference is one image. Another seed may turn
# it round. Compare over seeds, with the spread.
# </details>
#
# **3.** Why is there a validation set *and* a test set?
# - (a) to have more data
# - (b) because you choose by the first, so only the second is still unseen
# - (c) because one is for the loss and one for the accuracy
#
# <details>
# <summary>Answer</summary>
#
# **(b).** Whatever you choose by, you fit a little: the best of many runs on the validation images is lucky there, too.
# (a) is the wrong way round: two sets held back leave less to learn from. (c) Both can be measured on either.
# </details>
#
# Now to [lecture 1](01_learning_rate.ipynb): what unit the slider is marked in, and where its cliff stands.
#
# ## Sources
# - Alpaydın and Kaynak 1998, *Optical Recognition of Handwritten Digits*, UCI Machine Learning Repository: the digits,
#   as scikit-learn ships them.
# - Okabe and Ito 2008, *Color Universal Design*: the colours of the figures.
