"""The theory page in Japanese, with the keys and the formulas of the English one."""

from __future__ import annotations

from collections.abc import Mapping

from ddg_explorer.app.pages.theory_formulas import (
    CHAIN_RULE,
    DISCRETE_CHAIN_RULE,
    DISCRETE_DYNAMICS,
    DISCRETE_LAW,
    DYNAMICS,
    LAW_TABLE,
    LOSS,
    OPERATIONS_TABLE,
    REFERENCES,
    TANH,
)

_WORDS = {
    "lead": (
        "物理系をエネルギーでモデル化します。方程式ではなく微積分を離散化することで、エネル"
        "ギーの法則は"
        "有限の時間刻みでも厳密に成り立ち、ニューラルネットワークにもそのまま引き継がれます。"
    ),
    "energy": f"""
<h3>運動を駆動するのはエネルギー、法則を決めるのは G</h3>
<p>多くの物理系は次の一つの方程式に従います。$u$ は状態、$H(u)$ はそのエネルギー、$G$ は線形作用素
（構造作用素）です。</p>
{DYNAMICS}
<p>連鎖律を使うとエネルギーの時間変化が得られます。それが保存か散逸かを決めるのは $G$ だけで
す。</p>
{CHAIN_RULE}
<p>したがって、ネットワークが学習すべきものは各状態に対する一つの数、すなわちエネルギーです。
どのような
エネルギーを学習しても、法則は $G$ の性質によって成り立ちます。</p>
""",
    "laws": LAW_TABLE.format(
        title="G から法則へ",
        head=("構造作用素", "法則", "例"),
        skew="歪対称",
        skew_law="エネルギー保存則",
        skew_examples="(q, p) 上の S：振り子、天体、分子。∂x：KdV 方程式",
        negative="半負定値",
        negative_law="エネルギー散逸則",
        negative_examples=(
            "S − R：摩擦のある系。Δ：相分離（Cahn–Hilliard 方程式）。"
            "−1：Allen–Cahn 方程式、亀裂の進展"
        ),
        columns="各列の和がゼロ",
        columns_law="質量保存則",
        columns_examples="∂x と Δ",
        free="それ以外",
        free_law="保証なし",
        free_examples="制約なしに学習した G。法則は学習後に測定する",
    ),
    "discrete": f"""
<h3>方程式ではなく微積分を離散化する</h3>
<p>離散勾配 $\\overline\\nabla H(v, u)$ は二つの状態から定まります。有限の差分に対する連鎖律を
厳密に
満たし、二つの状態が一致するところでは通常の勾配になります。</p>
{DISCRETE_CHAIN_RULE}
<p>モデルは初めから差分方程式です。</p>
{DISCRETE_DYNAMICS}
<p>先ほどの議論がそのまま成り立ちます。</p>
{DISCRETE_LAW}
<p>$G$ が歪対称ならエネルギーは保存され、半負定値なら増加しません。方程式が解ける限
り $\\Delta t$ の
大きさによらず、丸め誤差と、表示される求解の残差を除けば厳密です。状態に依存する $G$ は中点で
評価します。
</p>
""",
    "step": """
<h3>エネルギー等高線の上の 1 ステップ</h3>
<p class="caption">振り子 $H = \\frac{1}{2}p^2 + 1 - \\cos q$（無次元）。離散勾配法の 1 ステッ
プは、出発点と
同じ等高線の上に着きます。誤差は等高線に沿った方向にしか生じません。陽的な解法は等高線から離れ
ていきます。
図からはみ出す角度は 2π の整数倍だけ戻して描きます。図をクリックすると出発点を変えられます。</p>
""",
    "automatic": f"""
<h3>ネットワークの自動離散微分</h3>
<p>自動離散微分は、ネットワーク全体の $\\overline\\nabla H$ を求める方法です。逆伝播（後退モー
ドの自動微分）に
おいて、各演算のヤコビ行列を離散版に置き換えます。</p>
{
        OPERATIONS_TABLE.format(
            head=("演算", "離散ヤコビ行列"),
            linear="線形演算：全結合、畳み込み、和、フーリエ変換",
            activation="活性化関数 σ",
            product="積 x·y",
            means="それぞれ両端の平均",
        )
    }
<p>活性化関数の差分商をそのまま計算すると、両端が近づくにつれて、ほぼ等しい二つの数の引き算に
より桁落ちが
起こります。桁落ちのない閉じた式を使えばこれを避けられます。tanh の場合は次の通りです。</p>
{TANH}
""",
    "secant": """
<h3>割線と接線</h3>
<p class="caption">活性化関数の離散ヤコビ行列は割線の傾きであり、両端が一致すれば接線の傾きに
なります。
両端はドラッグするか、スライダーで動かせます。</p>
""",
    "cancel": """
<h3>桁落ちの代償</h3>
<p class="caption">もう一方の端が $u$ に近づくときの、傾きの相対誤差。基準は倍精度の閉じた式
で、その誤差は活性化関数の傾きの最大値に対して 5e−15 以下
です（50 桁の計算で検証済み）。そのため、傾きがゼロを通過する付近では、相対誤差はあまり意味を
持ちません。点は上で選んだ両端に対応します。</p>
""",
    "training": f"""
<h3>学習に数値積分は要らない。予測は陰的に</h3>
<p>各ステップの両端はデータとして与えられているので、学習では差分方程式の残差そのものを最小化
します。数値積分も
随伴方程式も不要です。</p>
{LOSS}
<p>データが連続時間の運動から得られたものなら、1 ステップの離散化誤差 $O(\\Delta t^2)$ は学習し
た $H$ に吸収されます。
このため、学習した $H$ はデータの $\\Delta t$ に固有のものです。データが同じ差分方程式に従う場合、
この誤差はありません。
陰的になるのは予測だけです。各ステップで差分方程式を次の状態について解きます。</p>
""",
    "limits": """
<h3>保証されること、されないこと</h3>
<ul>
<li>法則が成り立つのは、モデル自身のエネルギーについてです。学習した $H$ は丸め誤差の範囲で保
存されますが、真の
エネルギーとの間には学習の誤差が残り、連続時間の運動のデータでは $O(\\Delta t^2)$ の差も加わりま
す。</li>
<li>$G$ が歪対称のとき、1 ステップのエネルギー誤差は求解の残差 $r$ との内
積 $\\overline\\nabla H\\cdot r$ に
厳密に等しく、残差は計算のたびに表示されます。</li>
<li>保存は精度を意味しません。この解法は 2 次精度であり、$\\Delta t$ が大きいと、正しい等高線
の上を誤った速さで進みます。
</li>
<li>$\\Delta t$ が大きいと解が一意でなくなることがあります。Cahn–Hilliard 方程式では、およそ
$\\Delta t = 8\\gamma$ を超えるとそうなります。求解が収束しなければ、その旨を表示します。</li>
</ul>
""",
    "references": REFERENCES.format(title="文献"),
    "dt": "時間刻み Δt",
    "steps": "ステップ数",
    "activation": "活性化関数 σ",
    "u": "端点 u",
    "v": "端点 v",
    "distance": "端点の距離 |v − u|",
    "contour": "エネルギー等高線",
    "start": "出発点",
    "exact": "厳密な運動",
    "curve": "σ",
    "chord": "割線",
    "tangent": "u での接線",
    "scheme": "解法",
    "change": "H（終点）− H（出発点）",
    "residual": "残差",
    "failed": "収束せず",
    "slope": "傾き",
    "value": "値",
    "error": "相対誤差",
    "closed64": "閉じた式",
    "quotient64": "差分商（倍精度）",
    "quotient32": "差分商（単精度）",
    "closed32": "閉じた式（単精度）",
    "reference": "基準",
    "position": "角度 q",
    "momentum": "運動量 p",
    "discrete_gradient": "離散勾配法",
    "midpoint": "陽的中点法（RK2）",
    "euler": "陽的オイラー法",
}
JAPANESE: Mapping[str, str] = {name: text.replace("\n", "") for name, text in _WORDS.items()}
"""Line breaks of the source would be shown as spaces, which Japanese does not have."""
